import Support

/// A level of the treemap of the disk: models, the layers of a model, or the shards of a layer.
struct MapLevel: Sendable, Encodable {
    /// A rectangle.
    struct Tile: Sendable, Encodable {
        /// The text in the rectangle.
        let name: String
        /// A second line, such as the models that share the bytes.
        let detail: String
        /// Bytes of its shards, absent ones included.
        let bytes: Int
        /// Of these, bytes that are not on disk.
        let absent: Int
        /// The recent uses of a byte: each counts half for every day that has passed since.
        let heat: Double
        /// Whether several models share the bytes.
        let isShared: Bool
        /// The page of the next level; nil if there is none.
        let link: String?

        /// The class of the heat, 0 (unused) to 4.
        var heatClass: Int { heat < 0.05 ? 0 : heat < 1 ? 1 : heat < 10 ? 2 : heat < 100 ? 3 : 4 }
    }

    /// A step of the path from the store to this level.
    struct Step: Sendable, Encodable {
        let name: String
        let link: String
    }

    let title: String
    let path: [Step]
    /// Sorted by size, the largest first.
    let tiles: [Tile]
    /// The number of smaller tiles that are added up in the last one.
    let merged: Int
    /// The number of larger tiles, which are left out: those of the pages before this one.
    var start = 0
    /// The address of the first page of the level.
    var address = "/disk"

    /// The largest tiles, and one for the others, which leads to them. A single other one is shown itself.
    func largest(_ count: Int) -> [Tile] {
        guard count < tiles.count - 1 else { return tiles }
        let rest = tiles.dropFirst(count)
        let number = rest.count + merged - (merged > 0 ? 1 : 0)
        return tiles.prefix(count) + [Self.others(rest, number, at: address, from: start + count)]
    }

    /// Some tiles as one, which leads to the page that begins with them.
    ///
    /// - Parameter number: how many they are.
    static func others(_ tiles: ArraySlice<Tile>, _ number: Int, at address: String, from start: Int) -> Tile {
        let bytes = tiles.saturatingSum(\.bytes)
        let uses = tiles.reduce(0) { $0 + $1.heat * Double($1.bytes) }
        return Tile(
            name: "\(number) others", detail: "", bytes: bytes, absent: tiles.saturatingSum(\.absent),
            heat: uses / Double(max(bytes, 1)), isShared: false,
            link: "\(address)\(address.utf8.contains(UInt8(ascii: "?")) ? "&" : "?")from=\(start)")
    }

    var bytes: Int { tiles.saturatingSum(\.bytes) }
    var absent: Int { tiles.saturatingSum(\.absent) }

    /// The words of the classes of heat.
    static let heatLabels = ["unused", "below 1", "1 to 10", "10 to 100", "100 or more"]
}
