/// A pull of a model from one origin.
protocol OriginPull {
    /// Fetches what the store lacks.
    func run() throws -> PullSummary
    /// What `run` would fetch.
    func plan() throws -> PullPlan
}
