import ModelFormats
import Storage

/// What a tier remembers of a resident shard, for its policy. Kept under the tier's lock: a hit does not touch it, but
/// leaves its count in the residency's word.
package struct ResidencyAccount {
    package let layer: Int?
    /// Of a KV block: how many blocks come before it. Otherwise nil.
    package let depth: Int?
    /// Of a KV block: the block before it, if it is known.
    package var parent: ContentDigest?
    /// How many groups look at the shard, of one that is forgotten when none does and its bytes are gone: there are
    /// without number of them. nil for one that stays known as long as the tier is open.
    var visitors: Int?
    /// The models whose revisions have been looked at in the tier and hold the shard.
    package var models: Set<String> = []
    /// Readings of `StoreClock.coarse`.
    var departedAt: Int64 = 0
    var insertedAt: Int64 = 0
    /// Uses since it came in that were taken from the word already.
    package var counted = 0
    /// Uses, fading, as of `heatAt`.
    package private(set) var heat = 0.0
    private var heatAt: Int64 = 0

    init(layer: Int?, depth: Int?) {
        self.layer = layer
        self.depth = depth
        visitors = depth.map { _ in 0 }
    }

    /// Takes note of uses, the last of them at `moment`.
    package mutating func add(_ uses: Int, at moment: Int64) {
        counted += uses
        heat = faded(to: moment) + Double(uses)
        heatAt = max(heatAt, moment)
    }

    /// Takes note of what is known of uses before it came in.
    package mutating func remember(_ known: Double, at moment: Int64) {
        heat = max(faded(to: moment), known)
        heatAt = max(heatAt, moment)
    }

    /// It came in.
    package mutating func begin(at moment: Int64) {
        insertedAt = moment
        counted = 0
    }

    /// In memory nobody remembers how a shard of weights was made; its size tells.
    package func kind(bytes: Int) -> ShardKind { depth != nil ? .kv : bytes >= ShardPlan.tensorBytes ? .tensor : .pack }

    func faded(to moment: Int64) -> Double {
        Heat.faded(heat, seconds: Double(moment - heatAt) / 1e9)
    }

    /// Seconds that bringing it in took.
    package var fetchSeconds: Double { Double(max(insertedAt - departedAt, 1)) / 1e9 }
}
