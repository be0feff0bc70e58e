import Support
import WeightStore

extension MapLevel {
    /// The most rectangles of a picture. Smaller ones are added up.
    private static let mostTiles = 240

    /// All models.
    ///
    /// - Parameter start: the number of the largest ones that are left out.
    init(models map: DiskMap, from start: Int = 0) {
        var tiles = map.groups.map { group in
            let isShared = group.models.count > 1
            return Tile(
                name: isShared ? "\(group.models.count) models" : group.models.first ?? "no model",
                detail: isShared
                    ? "shared by \(Self.list(group.models))"
                    : group.models.isEmpty ? "garbage, which a collection removes" : "",
                group.sum, isShared: isShared, link: group.models.first.map { Self.link($0) })
        }
        if map.kvBytes > 0 {
            tiles.append(
                Tile(
                    name: "KV blocks", detail: "keys and values of prompts", bytes: map.kvBytes, absent: 0, heat: 0,
                    isShared: false, link: nil))
        }
        self.init(title: "All models", path: [], tiles, from: start, at: "/disk")
    }

    /// The shards outside layers, as the layer of a link.
    static let outside = "none"

    /// The layers of a model, as far as other models share them apart.
    ///
    /// - Parameter start: as in ``init(models:from:)``.
    init(layers map: DiskMap, of model: String, from start: Int = 0) {
        let tiles = map.groups.flatMap { group in
            group.layers.map { layer in
                Tile(
                    name: layer.layer.map { "layer \($0)" } ?? "outside layers",
                    detail: Self.sharing(group, model), layer.sum, isShared: group.models.count > 1,
                    link: Self.link(model, layer: layer.layer))
            }
        }
        self.init(
            title: model, path: [Step(name: "All models", link: "/disk")], tiles, from: start, at: Self.link(model))
    }

    /// The shards of a layer.
    ///
    /// - Parameters:
    ///   - layer: nil for the shards outside layers.
    ///   - names: the tensors or the file that a shard holds.
    ///   - start: as in ``init(models:from:)``.
    init(
        shards map: DiskMap, of model: String, layer: Int?, holding names: [ContentDigest: [String]],
        from start: Int = 0
    ) {
        let tiles = map.groups.flatMap { group in
            group.layers.filter { $0.layer == layer }.flatMap { part in
                part.shards.map { shard in
                    Tile(
                        name: Self.label(names[shard.digest] ?? []) ?? shard.digest.short,
                        detail: [shard.kind.rawValue, shard.digest.short, Self.sharing(group, model)]
                            .filter { !$0.isEmpty }.joined(separator: ", "),
                        bytes: shard.bytes, absent: shard.state == .present ? 0 : shard.bytes, heat: shard.heat,
                        isShared: group.models.count > 1, link: nil)
                }
            }
        }
        self.init(
            title: layer.map { "layer \($0)" } ?? "outside layers",
            path: [Step(name: "All models", link: "/disk"), Step(name: model, link: Self.link(model))], tiles,
            from: start, at: Self.link(model, layer: layer))
    }

    /// A page of the level: those of the tiles that follow the `start` largest ones.
    init(title: String, path: [Step], _ tiles: [Tile], from start: Int, at address: String) {
        let sorted = tiles.filter { $0.bytes > 0 }.sorted { ($1.bytes, $0.name) < ($0.bytes, $1.name) }
            .dropFirst(start)
        let rest = sorted.dropFirst(Self.mostTiles)
        var shown = Array(sorted.prefix(Self.mostTiles))
        if !rest.isEmpty {
            shown.append(Self.others(rest, rest.count, at: address, from: start.adding(saturating: Self.mostTiles)))
        }
        self.init(
            title: start > 0 ? "from number \(start.adding(saturating: 1))" : title,
            path: path + (start > 0 ? [Step(name: title, link: address)] : []), tiles: shown, merged: rest.count,
            start: start, address: address)
    }

    private static func link(_ model: String) -> String { ModelPage.map(model) }

    private static func link(_ model: String, layer: Int?) -> String {
        "\(link(model))&layer=\(layer.map { "\($0)" } ?? outside)"
    }

    private static func label(_ names: [String]) -> String? {
        names.first.map { names.count > 1 ? "\($0) and \(names.count - 1) more" : $0 }
    }

    private static func sharing(_ group: DiskMap.Group, _ model: String) -> String {
        let others = group.models.filter { $0 != model }
        return others.isEmpty ? "" : "shared with \(list(others))"
    }

    private static func list(_ names: [String]) -> String {
        names.prefix(3).joined(separator: ", ") + (names.count > 3 ? " and \(names.count - 3) more" : "")
    }
}

extension MapLevel.Tile {
    fileprivate init(name: String, detail: String, _ sum: DiskMap.Sum, isShared: Bool, link: String?) {
        self.init(
            name: name, detail: detail, bytes: sum.bytes.adding(saturating: sum.absentBytes), absent: sum.absentBytes,
            heat: sum.heat, isShared: isShared, link: link)
    }
}
