import ModelFormats
import Storage
import Support

/// The bytes of a store by model, layer and shard, each shard once.
///
/// A shard belongs to the group of exactly those models that contain it. So the bytes of all groups add up to the bytes
/// of the disk tier, whatever the models share.
public struct DiskMap: Sendable, Codable {
    /// How far a map is divided.
    public enum Depth: String, Sendable, Codable {
        /// Groups alone.
        case models
        /// Groups and their layers.
        case layers
        /// Groups, their layers, and the shards of these.
        case shards
    }

    /// The sizes and the use of some shards.
    public struct Sum: Sendable, Codable {
        /// Bytes of the shards whose bytes are on disk.
        public private(set) var bytes = 0
        /// Bytes of the shards that are not on disk: evicted, damaged, missing, or never fetched.
        public private(set) var absentBytes = 0
        /// Uses of a byte: each use of its shard, halved for every day since. The mean of all bytes.
        public var heat: Double {
            let all = Double(bytes) + Double(absentBytes)
            return all > 0 ? heatBytes / all : 0
        }
        private var heatBytes = 0.0

        private enum CodingKeys: String, CodingKey { case bytes, absentBytes, heatBytes }

        init() {}

        init(bytes: Int, isPresent: Bool, heatBytes: Double) {
            if isPresent { self.bytes = bytes } else { absentBytes = bytes }
            self.heatBytes = heatBytes.isFinite ? max(heatBytes, 0) : 0
        }

        static func += (sum: inout Sum, other: Sum) {
            sum.bytes.add(saturating: other.bytes)
            sum.absentBytes.add(saturating: other.absentBytes)
            sum.heatBytes += other.heatBytes
        }
    }

    /// The shards that exactly some models contain.
    public struct Group: Sendable, Codable {
        /// The names of these models, sorted: one name for its own shards, several for shards that they share, none for
        /// shards that no revision references.
        public let models: [String]
        /// The sizes of the group.
        public internal(set) var sum = Sum()
        /// The layers, in order, then the shards outside layers; empty if the map has groups alone.
        public internal(set) var layers: [Layer] = []
    }

    /// The shards of a layer in a group.
    public struct Layer: Sendable, Codable {
        /// The number of the layer; nil for the shards outside layers: embedding, head, files without tensors.
        public let layer: Int?
        /// The sizes of the layer.
        public internal(set) var sum = Sum()
        /// The shards, the largest first; empty unless the map has shards.
        public internal(set) var shards: [Shard] = []
    }

    /// A shard.
    public struct Shard: Sendable, Codable {
        /// The digest of its bytes.
        public let digest: ContentDigest
        /// Its size, in bytes.
        public let bytes: Int
        /// What it holds.
        public let kind: ShardKind
        /// Whether its bytes are on disk.
        public let state: ShardState
        /// Its uses, each halved for every day since.
        public let heat: Double
    }

    /// How far the map is divided.
    public let depth: Depth
    /// The groups, the largest first.
    public let groups: [Group]
    /// Bytes of KV blocks, which the groups do not include. 0 in the map of one model.
    public let kvBytes: Int
}
