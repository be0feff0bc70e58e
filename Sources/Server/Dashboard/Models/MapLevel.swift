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

    var bytes: Int { tiles.saturatingSum(\.bytes) }
    var absent: Int { tiles.saturatingSum(\.absent) }

    /// The words of the classes of heat.
    static let heatLabels = ["unused", "below 1", "1 to 10", "10 to 100", "100 or more"]
}
