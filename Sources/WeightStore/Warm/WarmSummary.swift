/// The result of a warm-up.
public struct WarmSummary: Sendable, Encodable {
    /// The plan that was executed.
    public let plan: WarmPlan
    /// Bytes loaded into the tier.
    public internal(set) var warmed = 0
    /// The number of KV blocks that the engine computed and that were stored.
    public internal(set) var computed = 0
    /// Items of the plan that were not loaded or not computed.
    public internal(set) var failed: [SkippedItem] = []
    /// The duration of the warm-up.
    public internal(set) var seconds = 0.0

    init(plan: WarmPlan) { self.plan = plan }
}
