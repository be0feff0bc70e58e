import Dispatch
import Support
import Synchronization

/// The miss ratios of several policies at several quotas.
public struct MissRatioCurve: Sendable, Codable {
    public struct Point: Sendable, Codable {
        /// Bytes.
        public let quota: Int
        /// Misses as a share of the accesses.
        public let missRatio: Double
        /// Missed bytes as a share of the accesses' bytes.
        public let byteMissRatio: Double
    }

    public struct Line: Sendable, Codable {
        /// The policy, or `bound`: what no policy can go below.
        public let name: String
        public let points: [Point]
        /// Seconds that replaying took, on average over the quotas.
        public let seconds: Double
    }

    public let accesses: Int
    public let objects: Int
    /// Bytes of all objects.
    public let footprint: Int
    /// Whether it is of prefixes: what misses counts is blocks that are not there, or behind one that is not.
    public let isOfPrefixes: Bool
    public let lines: [Line]

    /// Replays a trace through policies, on as many threads as there are cores.
    ///
    /// - Parameters:
    ///   - quotas: bytes, each 1 or more.
    ///   - low: share of the quota down to which an eviction goes; 1 evicts just what is needed, as cache simulators do.
    ///   - leavesFirst: in a trace of prefixes, a block goes only when nothing builds on it, as in the store. Otherwise the
    ///     policy alone decides.
    ///   - work: counts replayed accesses.
    /// - Throws: ``PolicyError/refused(policy:line:message:)``, `CancellationError`.
    public static func simulate(
        _ trace: AccessTrace, policies: [Policy], quotas: [Int], low: Double = 1, leavesFirst: Bool = true,
        work: Work = Work()
    ) async throws -> MissRatioCurve {
        try await work.run {
            try simulateBlocking(
                trace, policies: policies, quotas: quotas, low: low, leavesFirst: leavesFirst, work: work)
        }
    }

    /// As ``simulate(_:policies:quotas:low:leavesFirst:work:)``, for callers on threads of their own.
    public static func simulateBlocking(
        _ trace: AccessTrace, policies: [Policy], quotas: [Int], low: Double = 1, leavesFirst: Bool = true,
        work: Work = Work()
    ) throws -> MissRatioCurve {
        try MissRatioCurve(trace, policies, quotas, low: low, leavesFirst: leavesFirst, work)
    }

    private init(
        _ trace: AccessTrace, _ policies: [Policy], _ quotas: [Int], low: Double, leavesFirst: Bool, _ work: Work
    ) throws {
        let runs = policies.flatMap { policy in quotas.map { (policy, $0) } }
        work.expect(runs.count * trace.accesses.count)
        let next = Atomic<Int>(0)
        let results = Mutex<[Int: (Simulation.Result, Double)]>([:])
        let failure = FirstFailure()
        DispatchQueue.concurrentPerform(iterations: min(Processors.count, runs.count)) { _ in
            while failure.first == nil {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < runs.count else { return }
                do {
                    let start = ContinuousClock.now
                    let (policy, quota) = runs[index]
                    let result =
                        trace.isOfPrefixes
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
        isOfPrefixes = trace.isOfPrefixes
        accesses = trace.accesses.count
        objects = trace.objects.count
        footprint = trace.footprint
    }
}
