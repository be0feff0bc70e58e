import Dispatch
import Support
import Synchronization

/// The miss ratios of several policies at several quotas.
public struct MissRatioCurve: Sendable, Codable {
    /// The miss ratios at one quota.
    public struct Point: Sendable, Codable {
        /// The size of the cache, in bytes.
        public let quota: Int
        /// Misses ÷ accesses.
        public let missRatio: Double
        /// Missed bytes ÷ accessed bytes.
        public let byteMissRatio: Double

        package init(quota: Int, missRatio: Double, byteMissRatio: Double) {
            self.quota = quota
            self.missRatio = missRatio
            self.byteMissRatio = byteMissRatio
        }
    }

    /// The curve of one policy.
    public struct Line: Sendable, Codable {
        /// The name of the policy, or `bound` for the lower bound of any policy.
        public let name: String
        /// One point for each quota.
        public let points: [Point]
        /// The mean duration of a replay, in seconds.
        public let seconds: Double
    }

    /// The number of accesses in the trace.
    public let accesses: Int
    /// The number of distinct objects.
    public let objects: Int
    /// The total size of all objects, in bytes.
    public let footprint: Int
    /// Whether the trace consists of prefixes. Then a block also counts as a miss if a block before it is missing.
    public let isPrefixTrace: Bool
    /// The curves of the policies, then that of `bound`.
    public let lines: [Line]

    private enum CodingKeys: String, CodingKey {
        case accesses, objects, footprint
        case isPrefixTrace = "isOfPrefixes"
        case lines
    }

    /// Replays a trace through policies, on as many threads as there are processors.
    ///
    /// - Parameters:
    ///   - trace: the accesses.
    ///   - policies: the policies to compare.
    ///   - quotas: cache sizes in bytes, each at least 1.
    ///   - high: the fraction of the quota above which an eviction starts, as in a store with that watermark.
    ///   - low: the fraction of the quota at which an eviction stops, at most `high`; 1 evicts only as much as needed,
    ///     as cache simulators do.
    ///   - leavesFirst: in a trace of prefixes, evict only blocks without children, as the store does. If false, only
    ///     the policy decides.
    ///   - work: progress in replayed accesses, and cancellation.
    /// - Throws: ``PolicyError/refused(policy:line:message:)``, `CancellationError`.
    public static func simulate(
        _ trace: AccessTrace, policies: [Policy], quotas: [Int], high: Double = 1, low: Double = 1,
        leavesFirst: Bool = true, work: Work = Work()
    ) async throws -> MissRatioCurve {
        try await work.run {
            try simulateBlocking(
                trace, policies: policies, quotas: quotas, high: high, low: low, leavesFirst: leavesFirst, work: work)
        }
    }

    /// As ``simulate(_:policies:quotas:high:low:leavesFirst:work:)``, but blocks the calling thread.
    public static func simulateBlocking(
        _ trace: AccessTrace, policies: [Policy], quotas: [Int], high: Double = 1, low: Double = 1,
        leavesFirst: Bool = true, work: Work = Work()
    ) throws -> MissRatioCurve {
        try MissRatioCurve(trace, policies, quotas, high: high, low: low, leavesFirst: leavesFirst, work)
    }

    private init(
        _ trace: AccessTrace, _ policies: [Policy], _ quotas: [Int], high: Double, low: Double, leavesFirst: Bool,
        _ work: Work
    ) throws {
        let low = min(low / high, 1)
        let runs = policies.flatMap { policy in quotas.map { (policy, $0) } }
        work.expect(runs.count * trace.accesses.count)
        let next = Atomic<Int>(0)
        let results = Mutex<[Int: (Simulation.Result, Double)]>([:])
        let failure = FirstFailure()
        DispatchQueue.concurrentPerform(iterations: min(SystemCores.count, runs.count)) { _ in
            while failure.first == nil {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < runs.count else { return }
                do {
                    let start = ContinuousClock.now
                    let policy = runs[index].0
                    let quota = max(Int(saturating: Double(runs[index].1) * high), 1)
                    let result =
                        trace.isPrefixTrace
                        ? try PrefixSimulation(
                            trace: trace, policy: policy, quota: quota, low: low, leavesFirst: leavesFirst
                        )
                        .run(work)
                        : try Simulation(trace: trace, policy: policy, quota: quota, low: low).run(work)
                    let seconds = (ContinuousClock.now - start) / .seconds(1)
                    results.withLock { $0[index] = (result, seconds) }
                } catch {
                    failure.record(error)
                }
            }
        }
        if let failure = failure.first { throw failure }
        let all = results.withLock { $0 }
        func point(_ quota: Int, _ result: Simulation.Result) -> Point {
            Point(quota: quota, missRatio: result.missRatio, byteMissRatio: result.byteMissRatio)
        }
        var lines = policies.indices.map { policy in
            let runs = quotas.indices.compactMap { all[policy * quotas.count + $0] }
            return Line(
                name: policies[policy].name, points: zip(quotas, runs).map { point($0, $1.0) },
                seconds: runs.reduce(0) { $0 + $1.1 } / Double(max(runs.count, 1)))
        }
        let start = ContinuousClock.now
        let bounds = quotas.map { point($0, Bound.result(trace, quota: $0)) }
        lines.append(
            Line(
                name: "bound", points: bounds,
                seconds: (ContinuousClock.now - start) / .seconds(1) / Double(max(quotas.count, 1))))
        self.lines = lines
        isPrefixTrace = trace.isPrefixTrace
        accesses = trace.accesses.count
        objects = trace.objects.count
        footprint = trace.footprint
    }
}
