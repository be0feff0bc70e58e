import WeightStore

/// When a server is ready: it can read its catalog, its disk is not full, and little of its weights is damaged.
public struct ReadinessRules: Sendable {
    /// The fewest free bytes of the disk. A store that can only be read needs none.
    public var leastFreeBytes = 64 << 20
    /// The largest share of the weights that may be damaged or missing: 0 to 1.
    public var mostDamaged = 0.05

    /// The default rules.
    public init() {}
}

/// Whether a server can do its work.
struct Readiness: Encodable {
    enum Status: String, Encodable {
        /// Nothing is wrong.
        case ok
        /// Ready, but shards are damaged or missing.
        case degraded
        /// Not ready.
        case failing
    }

    struct Shard: Encodable {
        let digest: String
        let revisions: [String]
    }

    private(set) var status = Status.ok
    /// Why it is not ready; without names of models and paths.
    private(set) var reasons: [String] = []
    /// The damaged and missing shards, at most 100; absent if there are none, or the client may not see them.
    private(set) var damaged: [Shard]?

    /// Examines a store. Blocks.
    ///
    /// - Parameter namesShards: whether to list the damaged shards.
    init(of store: Store, _ rules: ReadinessRules, namesShards: Bool) {
        do {
            let totals = try store.totals()
            if store.readOnlyReason == nil, totals.disk.available < rules.leastFreeBytes {
                reasons.append(
                    "the disk has \(Quantity.bytes(totals.disk.available)) left, less than "
                        + Quantity.bytes(rules.leastFreeBytes))
            }
            let (lost, stored) = (totals.damaged.bytes, totals.kinds[.weights]?.bytes ?? 0)
            if totals.damaged.shards > 0 {
                status = .degraded
                let share = Double(lost) / Double(max(lost.adding(saturating: stored), 1))
                if share > rules.mostDamaged {
                    reasons.append(
                        "\(totals.damaged.shards) shards with \(Quantity.bytes(lost)) are damaged or missing, more than "
                            + "\(Quantity.percent(rules.mostDamaged)) of the weights")
                }
                if namesShards {
                    damaged = try store.damagedShards().map { Shard(digest: $0.digest.hex, revisions: $0.revisions) }
                }
            }
        } catch {
            reasons.append("the catalog cannot be read")
            failure = error
        }
        if !reasons.isEmpty { status = .failing }
    }

    /// Why the catalog cannot be read.
    private(set) var failure: (any Error)?

    var isReady: Bool { status != .failing }

    private enum CodingKeys: String, CodingKey { case status, reasons, damaged }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(status, forKey: .status)
        if !reasons.isEmpty { try container.encode(reasons, forKey: .reasons) }
        try container.encodeIfPresent(damaged, forKey: .damaged)
    }
}
