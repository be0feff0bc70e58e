import Storage
import Support

/// Replays a trace against a cache with one size and one policy.
///
/// The policy runs as in the store: the same SQL over `candidate`, stepped until there is space. A miss inserts the
/// object, unless it is larger than the cache. Objects that the policy does not return are evicted in arbitrary order.
struct Simulation {
    /// The totals of a replay.
    package struct Result: Sendable, Codable {
        package var accesses = 0
        package var misses = 0
        /// The bytes of all accesses.
        package var bytes = 0
        /// The bytes of the accesses that missed.
        var missedBytes = 0

        package var missRatio: Double { accesses == 0 ? 0 : Double(misses) / Double(accesses) }
        package var byteMissRatio: Double { bytes == 0 ? 0 : Double(missedBytes) / Double(bytes) }
    }

    /// The number of victims per query.
    private static let step = 64

    package let trace: AccessTrace
    package let policy: Policy
    package let quota: Int
    /// The fraction of the quota at which an eviction stops; 1 evicts only as much as needed.
    package let low: Double

    /// Runs the replay.
    ///
    /// - Parameter work: progress in replayed accesses, and cancellation.
    package func run(_ work: Work = Work()) throws -> Result {
        let table = try ResidentTable()
        if let terms = PolicyTerms.of(policy.sql), !terms.isEmpty {
            // Fails if a term does not depend on the row alone, such as :now. Then SQLite sorts, as it does for `heat`,
            // which decays with time.
            try? table.database.execute("CREATE INDEX policy_order ON resident (\(terms.joined(separator: ", ")))")
        }
        let query = try table.database.compile(policy, limit: Self.step)
        var result = Result()
        var resident = [Bool](repeating: false, count: trace.objects.count)
        var heats = [(heat: Double, lastAccess: Double)](repeating: (0, 0), count: trace.objects.count)
        var stored = 0
        var clock = 0.0
        for index in trace.accesses.indices {
            if index & 0xFFF == 0 {
                try work.check()
                if index > 0 { work.advance(0x1000) }
            }
            let place = Int(trace.accesses[index])
            let object = trace.objects[place]
            let now = trace.times[index]
            result.accesses += 1
            result.bytes = result.bytes.adding(saturating: object.bytes)
            if resident[place] {
                try table.touch(place, at: now, clock: clock)
                continue
            }
            result.misses += 1
            result.missedBytes = result.missedBytes.adding(saturating: object.bytes)
            guard object.bytes <= quota else { continue }
            if object.bytes > quota - stored {
                let target = min(quota - object.bytes, Int(saturating: Double(quota) * low))
                try evict(table, query, now: now, &resident, &heats, &stored, &clock, target: max(target, 0))
            }
            try table.insert(place, object.facts(at: now, after: heats[place], clock: clock))
            resident[place] = true
            stored += object.bytes
        }
        return result
    }

    private func evict(
        _ table: ResidentTable, _ query: PolicyQuery, now: Double, _ resident: inout [Bool],
        _ heats: inout [(heat: Double, lastAccess: Double)], _ stored: inout Int, _ clock: inout Double, target: Int
    ) throws {
        try table.setNow(now)
        while stored > target {
            var victims: [Int] = []
            var freed = 0
            query.bind(now: now)
            while stored - freed > target, try query.next(seconds: .infinity) {
                let victim = Int(query.shard)
                guard resident.indices.contains(victim), resident[victim] else { continue }
                resident[victim] = false
                victims.append(victim)
                freed += trace.objects[victim].bytes
                clock = max(clock, query.priority ?? 0)
            }
            query.reset()
            if victims.isEmpty {
                guard let any = resident.firstIndex(of: true) else { return }
                resident[any] = false
                victims = [any]
                freed = trace.objects[any].bytes
            }
            for victim in victims { heats[victim] = try table.delete(victim) }
            stored -= freed
        }
    }
}
