import Synchronization

/// What a warm-up did.
public struct WarmSummary: Sendable, Encodable {
    public let plan: WarmPlan
    /// Bytes brought into the tier.
    public internal(set) var warmed = 0
    /// KV blocks that an engine computed, and that are in the store now.
    public internal(set) var computed = 0
    /// What the plan had wanted and did not come in, and why.
    public internal(set) var failed: [LeftOut] = []
    public internal(set) var seconds = 0.0

    init(plan: WarmPlan) { self.plan = plan }
}

/// How far a warm-up is; may be read from any thread while it runs.
public final class WarmProgress: Sendable {
    private let totalBytes = Atomic<Int>(0)
    private let doneBytes = Atomic<Int>(0)

    public init() {}

    /// Bytes to be brought in.
    public var total: Int { totalBytes.load(ordering: .relaxed) }
    /// Bytes that are in.
    public var done: Int { doneBytes.load(ordering: .relaxed) }

    func expect(_ bytes: Int) { totalBytes.add(bytes, ordering: .relaxed) }
    func finish(_ bytes: Int) { doneBytes.add(bytes, ordering: .relaxed) }
}
