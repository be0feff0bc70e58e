/// How much disk? Miss ratios by the size of the disk tier.
struct Sizing: Sendable, Encodable {
    struct Point: Sendable, Encodable {
        let bytes: Int
        /// From 0 to 1.
        let missRatio: Double
    }

    struct Line: Sendable, Encodable {
        /// The name of the policy, or `bound`.
        let name: String
        let points: [Point]
    }

    /// The answer.
    let sentence: String
    let quota: Int?
    let policy: String
    let lines: [Line]
    let accesses: Int
    /// The time from the first to the last access, in seconds.
    let seconds: Double
}
