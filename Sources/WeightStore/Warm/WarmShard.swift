import Storage

/// A shard that may be warmed, and what that is worth.
struct WarmShard: Sendable {
    let digest: ContentDigest
    let bytes: Int
    /// Of a KV block, how many blocks come before it.
    let layer: Int?
    /// With which others it comes in.
    let part: Part
    let isPresent: Bool
    /// Present, or had by an origin.
    let isToBeHad: Bool
    /// Expected uses: those of the past, fading, are the forecast.
    var uses: Double
    /// What a use waits for the shard if it is not in memory.
    let seconds: Double

    /// What comes in together, in the order in which it does.
    enum Part: Comparable, Hashable {
        /// What a revision has outside its layers: embedding, final norm, head.
        case outside
        /// A layer, or a KV block.
        case number(Int)
        /// What holds no tensors.
        case files
    }

    /// What having it in memory saves.
    var benefit: Double { uses * seconds }

    /// - Parameter fetchSeconds: what the last fetch took, if there was one.
    init(
        digest: ContentDigest, bytes: Int, layer: Int?, isFile: Bool = false, isPresent: Bool, isToBeHad: Bool,
        uses: Double,
        fetchSeconds: Double?
    ) {
        self.digest = digest
        self.bytes = bytes
        self.layer = layer
        part = isFile ? .files : layer.map(Part.number) ?? .outside
        self.isPresent = isPresent
        self.isToBeHad = isToBeHad
        self.uses = uses
        let read = ReadCost.seconds(bytes)
        let fetch = fetchSeconds ?? FetchCost.latency + Double(bytes) / FetchCost.bytesPerSecond
        seconds = isPresent ? read : read + fetch
    }
}

/// What reading a shard from disk is taken to cost: 2 GB/s, and a tenth of a millisecond to begin. Only its ratio to the
/// cost of a fetch, and of small shards to large ones, has an effect: it decides an order.
enum ReadCost {
    /// Seconds.
    static let latency = 1e-4
    static let bytesPerSecond = 2e9

    static func seconds(_ bytes: Int) -> Double { latency + Double(bytes) / bytesPerSecond }
}
