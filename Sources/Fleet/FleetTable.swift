import GRDB
import WeightStore

/// The tables `fleet`, `fleet_model` and `fleet_peer`: the state of one fleet, as this node last received it.
package struct FleetTable: Sendable {
    /// The version map's entry of a model.
    package struct Entry: Sendable, Equatable {
        package let model: String
        package let generation: Int
        /// JSON, as in the bucket.
        package let versions: String

        package init(model: String, generation: Int, versions: String) {
            self.model = model
            self.generation = generation
            self.versions = versions
        }
    }

    /// Another node.
    package struct Peer: Sendable, Equatable {
        package let name: String
        package let url: String
        /// The followed refs, as a JSON array.
        package let follows: String

        package init(name: String, url: String, follows: String) {
            self.name = name
            self.url = url
            self.follows = follows
        }
    }

    /// The position up to which etcd's events were applied.
    package struct Position: Sendable, Equatable {
        package let cluster: String
        package let revision: Int

        package init(cluster: String, revision: Int) {
            self.cluster = cluster
            self.revision = revision
        }
    }

    private let catalog: Catalog
    /// The bucket's URL.
    private let origin: String

    package init(_ store: Store, origin: String) {
        catalog = store.catalog
        self.origin = origin
    }

    package func entries() throws -> [Entry] {
        try catalog.read { db in
            try Row.mapAll(
                db, sql: "SELECT model, generation, versions FROM fleet_model WHERE origin = ? ORDER BY model",
                arguments: [origin]
            ) {
                try Entry(model: $0.value("model"), generation: $0.value("generation"), versions: $0.value("versions"))
            }
        }
    }

    package func position() throws -> Position? {
        try catalog.read { db in
            try Row.fetchOne(
                db, sql: "SELECT cluster, revision FROM fleet WHERE origin = ? AND cluster IS NOT NULL",
                arguments: [origin]
            ).map { try Position(cluster: $0.value("cluster"), revision: $0.value("revision")) }
        }
    }

    /// Stores entries that are newer than the stored ones, together with the position at which they were received, in
    /// one transaction: a crash loses both, or neither.
    ///
    /// - Parameter position: nil if the entries do not come from etcd.
    /// - Returns: the models with a newer entry.
    @discardableResult
    package func apply(_ entries: [Entry], at position: Position?) throws -> [String] {
        try catalog.write { db in
            try makeRow(db)
            var changed: [String] = []
            for entry in entries {
                try db.execute(
                    sql: """
                        INSERT INTO fleet_model (origin, model, generation, versions) VALUES (?, ?, ?, ?)
                        ON CONFLICT (origin, model) DO UPDATE
                        SET generation = excluded.generation, versions = excluded.versions
                        WHERE excluded.generation > generation
                        """, arguments: [origin, entry.model, entry.generation, entry.versions])
                if db.changesCount > 0 { changed.append(entry.model) }
            }
            if let position {
                try db.execute(
                    sql: "UPDATE fleet SET cluster = ?, revision = ? WHERE origin = ?",
                    arguments: [position.cluster, position.revision, origin])
            }
            return changed
        }
    }

    package func peers() throws -> [Peer] {
        try catalog.read { db in
            try Row.mapAll(
                db, sql: "SELECT name, url, follows FROM fleet_peer WHERE origin = ? ORDER BY name", arguments: [origin]
            ) { try Peer(name: $0.value("name"), url: $0.value("url"), follows: $0.value("follows")) }
        }
    }

    /// The peers of all fleets to which this store's node belongs.
    package static func allPeers(_ store: Store) throws -> [Peer] {
        try store.catalog.read { db in
            try Row.fetchAll(db, sql: "SELECT DISTINCT name, url, follows FROM fleet_peer ORDER BY name")
                .map { try Peer(name: $0.value("name"), url: $0.value("url"), follows: $0.value("follows")) }
        }
    }

    package func setPeers(_ peers: [Peer]) throws {
        if try self.peers() == peers { return }
        // Not durable: after a power cut the peers are soon received again.
        try catalog.write(durable: false) { db in
            try makeRow(db)
            try db.execute(sql: "DELETE FROM fleet_peer WHERE origin = ?", arguments: [origin])
            for peer in peers {
                try db.execute(
                    sql: "INSERT INTO fleet_peer (origin, name, url, follows) VALUES (?, ?, ?, ?)",
                    arguments: [origin, peer.name, peer.url, peer.follows])
            }
        }
    }

    private func makeRow(_ db: Database) throws {
        try db.execute(sql: "INSERT OR IGNORE INTO fleet (origin) VALUES (?)", arguments: [origin])
    }
}
