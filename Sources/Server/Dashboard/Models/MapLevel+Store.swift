import Support
import WeightStore

extension MapLevel {
    /// The most rectangles of a picture. Smaller ones are added up.
    private static let mostTiles = 240

    /// All models.
    init(models map: DiskMap) {
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
        self.init(title: "All models", path: [], tiles)
    }

    /// The shards outside layers, as the layer of a link.
    static let outside = "none"

    /// The layers of a model, as far as other models share them apart.
    init(layers map: DiskMap, of model: String) {
        let tiles = map.groups.flatMap { group in
            group.layers.map { layer in
                Tile(
                    name: layer.layer.map { "layer \($0)" } ?? "outside layers",
                    detail: Self.sharing(group, model), layer.sum, isShared: group.models.count > 1,
                    link: "\(Self.link(model))&layer=\(layer.layer.map { "\($0)" } ?? Self.outside)")
            }
        }
        self.init(title: model, path: [Step(name: "All models", link: "/disk")], tiles)
    }

    /// The shards of a layer.
    ///
    /// - Parameters:
    ///   - layer: nil for the shards outside layers.
    ///   - names: the tensors or the file that a shard holds.
    init(shards map: DiskMap, of model: String, layer: Int?, holding names: [ContentDigest: [String]]) {
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
            path: [Step(name: "All models", link: "/disk"), Step(name: model, link: Self.link(model))], tiles)
    }

    private init(title: String, path: [Step], _ tiles: [Tile]) {
        let sorted = tiles.filter { $0.bytes > 0 }.sorted { ($1.bytes, $0.name) < ($0.bytes, $1.name) }
        let rest = sorted.dropFirst(Self.mostTiles)
        var shown = Array(sorted.prefix(Self.mostTiles))
        if !rest.isEmpty {
            shown.append(
                Tile(
                    name: "\(rest.count) others", detail: "", bytes: rest.saturatingSum(\.bytes),
                    absent: rest.saturatingSum(\.absent), heat: 0, isShared: false, link: nil))
        }
        self.init(title: title, path: path, tiles: shown, merged: rest.count)
    }

    private static func link(_ model: String) -> String { ModelPage.map(model) }

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
