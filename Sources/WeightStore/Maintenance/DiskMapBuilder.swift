import GRDB
import ModelFormats
import Storage
import Support

/// Reads a ``DiskMap`` from the catalog. Unless the map has shards, SQLite adds them up.
struct DiskMapBuilder {
    let depth: DiskMap.Depth
    /// The models' names, by the ids of their rows.
    let names: [Int64: String]
    private var groups: [DiskMap.Group] = []
    /// The place of a group in `groups`, by the names of its models.
    private var places: [[String]: Int] = [:]
    /// The place of a group, by a list of ids as SQLite made it.
    private var placesByList: [String: Int] = [:]
    /// The place of a layer in a group; -1 stands for the shards outside layers.
    private var layers: [Int: [Int: Int]] = [:]

    init(depth: DiskMap.Depth, names: [Int64: String]) {
        self.depth = depth
        self.names = names
    }

    static func names(_ db: Database) throws -> [Int64: String] {
        let rows = try Row.mapAll(db, sql: "SELECT id, name FROM model") { row -> (Int64, String) in
            (try row.value("id"), try row.value("name"))
        }
        return Dictionary(uniqueKeysWithValues: rows)
    }

    /// The shards and the models that contain them, as pairs.
    private static let allPairs = """
        SELECT DISTINCT extent.shard_id, revision.model_id
        FROM revision
        JOIN revision_file ON revision_file.revision_id = revision.id
        JOIN extent ON extent.file_id = revision_file.file_id
        """

    /// As `allPairs`, only of the shards that one model contains.
    private static let pairsOfModel = """
        SELECT DISTINCT extent.shard_id, revision.model_id
        FROM (
          SELECT DISTINCT own.shard_id
          FROM model
          JOIN revision ON revision.model_id = model.id
          JOIN revision_file ON revision_file.revision_id = revision.id
          JOIN extent AS own ON own.file_id = revision_file.file_id
          WHERE model.name = :model
        ) AS wanted
        JOIN extent ON extent.shard_id = wanted.shard_id
        JOIN revision_file ON revision_file.file_id = extent.file_id
        JOIN revision ON revision.id = revision_file.revision_id
        """

    /// Adds the shards, and the bytes of files that were never fetched and so have no shards.
    mutating func add(of model: String?, _ db: Database) throws {
        let heat = "shard.heat * pow(0.5, max(:now - shard.last_access, 0) / \(Heat.halfLife))"
        let with = """
            WITH holders AS MATERIALIZED (
              SELECT shard_id, group_concat(model_id) AS models
              FROM (\(model == nil ? Self.allPairs : Self.pairsOfModel))
              GROUP BY shard_id
            )
            """
        let from = """
            FROM shard \(model == nil ? "LEFT JOIN" : "JOIN") holders ON holders.shard_id = shard.id
            WHERE shard.kind <> 'kv'
            """
        var arguments: StatementArguments = ["now": StoreClock.now]
        if let model { arguments += ["model": model] }
        if depth == .shards {
            let rows = try Row.fetchCursor(
                db,
                sql: """
                    \(with)
                    SELECT coalesce(holders.models, '') AS models, shard.layer, shard.digest, shard.bytes, shard.kind,
                           shard.state, \(heat) AS heat
                    \(from)
                    """, arguments: arguments)
            while let row = try rows.next() {
                let shard = DiskMap.Shard(
                    digest: try row.value("digest"), bytes: try row.size("bytes"), kind: try row.word("kind"),
                    state: try row.word("state"), heat: try row.value("heat"))
                add(
                    list: try row.value("models"), layer: try row.ordinal("layer"),
                    DiskMap.Sum(
                        bytes: shard.bytes, isPresent: shard.state == .present,
                        heatBytes: shard.heat * Double(shard.bytes)), shard)
            }
        } else {
            let layer = depth == .layers ? "shard.layer" : "NULL"
            let rows = try Row.fetchCursor(
                db,
                sql: """
                    \(with)
                    SELECT coalesce(holders.models, '') AS models, \(layer) AS layer, shard.state = 'present' AS here,
                           sum(shard.bytes) AS bytes, total(\(heat) * shard.bytes) AS heat
                    \(from)
                    GROUP BY 1, 2, 3
                    """, arguments: arguments)
            while let row = try rows.next() {
                add(
                    list: try row.value("models"), layer: try row.ordinal("layer"),
                    DiskMap.Sum(
                        bytes: try row.value("bytes"), isPresent: try row.value("here") as Int == 1,
                        heatBytes: try row.value("heat")), nil)
            }
        }
        try addUnfetched(of: model, db)
    }

    private mutating func addUnfetched(of model: String?, _ db: Database) throws {
        let rows = try Row.fetchCursor(
            db,
            sql: """
                SELECT group_concat(DISTINCT revision.model_id) AS models,
                       max(file.bytes - coalesce(
                         (SELECT sum(extent.length) FROM extent WHERE extent.file_id = file.id), 0), 0) AS bytes
                FROM file
                JOIN revision_file ON revision_file.file_id = file.id
                JOIN revision ON revision.id = revision_file.revision_id
                WHERE file.pending = 1
                GROUP BY file.id
                """)
        while let row = try rows.next() {
            let list: String = try row.value("models")
            let bytes: Int = try row.value("bytes")
            if bytes == 0 || (model != nil && !models(list).contains { $0 == model }) { continue }
            add(list: list, layer: nil, DiskMap.Sum(bytes: bytes, isPresent: false, heatBytes: 0), nil)
        }
    }

    private func models(_ list: String) -> [String] {
        list.split(separator: ",").compactMap { Int64($0).flatMap { names[$0] } }
    }

    private mutating func add(list: String, layer: Int?, _ sum: DiskMap.Sum, _ shard: DiskMap.Shard?) {
        let place = place(of: list)
        groups[place].sum += sum
        guard depth != .models else { return }
        let layerPlace: Int
        if let known = layers[place]?[layer ?? -1] {
            layerPlace = known
        } else {
            layerPlace = groups[place].layers.count
            layers[place, default: [:]][layer ?? -1] = layerPlace
            groups[place].layers.append(DiskMap.Layer(layer: layer))
        }
        groups[place].layers[layerPlace].sum += sum
        if let shard { groups[place].layers[layerPlace].shards.append(shard) }
    }

    /// SQLite may list the same models in different orders.
    private mutating func place(of list: String) -> Int {
        if let place = placesByList[list] { return place }
        let models = models(list).sorted()
        let place = places[models] ?? groups.count
        if place == groups.count {
            places[models] = place
            groups.append(DiskMap.Group(models: models))
        }
        placesByList[list] = place
        return place
    }

    /// The groups, the largest first.
    mutating func sortedGroups() -> [DiskMap.Group] {
        for place in groups.indices {
            groups[place].layers.sort { ($0.layer ?? .max) < ($1.layer ?? .max) }
            for layer in groups[place].layers.indices {
                groups[place].layers[layer].shards.sort { $0.bytes > $1.bytes }
            }
        }
        func all(_ group: DiskMap.Group) -> Int { group.sum.bytes.adding(saturating: group.sum.absentBytes) }
        return groups.sorted { (all($0), $1.models.first ?? "") > (all($1), $0.models.first ?? "") }
    }
}
