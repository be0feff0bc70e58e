import ModelFormats
import Storage

/// The facts about a shard that a tier keeps for its policy, under the tier's lock. A hit does not change them; it
/// counts its use in the word of the residency.
package struct ShardStatistics {
    package let layer: Int?
    /// The number of blocks before a KV block; nil for other shards.
    package let depth: Int?
    /// The kind of a shard of weights, once a view of a revision has set it.
    package var knownKind: ShardKind?
    /// The block before a KV block, if known.
    package var parent: ContentDigest?
    /// The number of groups that contain the KV block. Without references and bytes, the block is removed from the
    /// table, because the number of blocks is unbounded. Nil for other shards, which stay in the table until the tier
    /// is closed.
    var references: Int?
    /// The models with a view in the tier that contain the shard.
    package var models: Set<String> = []
    /// The start of the last load, by `StoreClock.coarse`.
    var loadStartedAt: Int64 = 0
    /// The end of the last load, by `StoreClock.coarse`.
    var insertedAt: Int64 = 0
    /// The uses since insertion that were moved here from the word.
    package var counted = 0
    /// The heat at `heatAt`.
    package private(set) var heat = 0.0
    private var heatAt: Int64 = 0

    init(layer: Int?, depth: Int?) {
        self.layer = layer
        self.depth = depth
        references = depth.map { _ in 0 }
    }

    /// Adds uses, the last of them at `moment`.
    package mutating func add(_ uses: Int, at moment: Int64) {
        counted += uses
        heat = decayed(to: moment) + Double(uses)
        heatAt = max(heatAt, moment)
    }

    /// Raises the heat to the value in the catalog.
    package mutating func remember(_ known: Double, at moment: Int64) {
        heat = max(decayed(to: moment), known)
        heatAt = max(heatAt, moment)
    }

    /// Resets the counts at the end of a load.
    package mutating func begin(at moment: Int64) {
        insertedAt = moment
        counted = 0
    }

    /// The kind of the shard. Until it is known, that of a shard of weights is inferred from the size.
    package func kind(bytes: Int) -> ShardKind {
        depth != nil ? .kv : knownKind ?? (bytes >= ShardPlan.tensorBytes ? .tensor : .pack)
    }

    /// The heat at a moment.
    func decayed(to moment: Int64) -> Double {
        Heat.decayed(heat, seconds: Double(moment - heatAt) / 1e9)
    }

    /// The duration of the last load, in seconds.
    package var fetchSeconds: Double { Double(max(insertedAt - loadStartedAt, 1)) / 1e9 }
}
