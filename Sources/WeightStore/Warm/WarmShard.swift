import Storage

/// A shard that may be warmed, with its worth.
struct WarmShard: Sendable {
    let digest: ContentDigest
    let bytes: Int
    /// For a KV block, the number of blocks before it.
    let layer: Int?
    /// The group of shards that it is loaded with.
    let part: Part
    let isPresent: Bool
    /// Whether it is present, or an origin has it.
    let isAvailable: Bool
    /// Expected uses: past uses, each halved for every day that has passed.
    var uses: Double
    /// Seconds that a use waits for the shard if it is not in memory.
    let seconds: Double

    /// Shards that are loaded together. Parts are loaded in ascending order.
    enum Part: Comparable, Hashable {
        /// Shards outside of all layers: embedding, final norm, head.
        case outside
        /// A layer, or a KV block.
        case number(Int)
        /// Shards without tensors.
        case files
    }

    /// Seconds saved if it is in memory.
    var benefit: Double { uses * seconds }

    /// - Parameter fetchSeconds: the duration of the last fetch; nil if there was none.
    init(
        digest: ContentDigest, bytes: Int, layer: Int?, isFile: Bool = false, isPresent: Bool, isAvailable: Bool,
        uses: Double,
        fetchSeconds: Double?
    ) {
        self.digest = digest
        self.bytes = bytes
        self.layer = layer
        part = isFile ? .files : layer.map(Part.number) ?? .outside
        self.isPresent = isPresent
        self.isAvailable = isAvailable
        self.uses = uses
        let read = ReadCost.seconds(bytes)
        let fetch = fetchSeconds ?? FetchCost.latency + Double(bytes) / FetchCost.bytesPerSecond
        seconds = isPresent ? read : read + fetch
    }
}

/// The assumed cost of reading a shard from disk: 0.1 ms, plus its bytes at 2 GB/s. It only decides an order, so only
/// its ratio to the cost of a fetch, and the ratio of small to large shards, matter.
enum ReadCost {
    /// Seconds per read.
    static let latency = 1e-4
    static let bytesPerSecond = 2e9

    static func seconds(_ bytes: Int) -> Double { latency + Double(bytes) / bytesPerSecond }
}
