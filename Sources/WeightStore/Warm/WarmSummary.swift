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
