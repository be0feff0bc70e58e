import Storage
import Support

/// Replays requests for prefixes against a cache of KV blocks with one size and one policy.
///
/// A block is a hit only if it and all blocks before it are resident, because an engine cannot use it otherwise. Missed
/// blocks are computed and inserted after the resident ones. Eviction works as in ``KVCandidates``: the next victim is
/// the leaf that the policy ranks first.
struct PrefixSimulation {
    package let trace: AccessTrace
    package let policy: Policy
    package let quota: Int
    /// The fraction of the quota at which an eviction stops.
    package let low: Double
    /// Whether only blocks without children are evicted. If false, only the policy decides, for comparison.
    package let leavesFirst: Bool

    /// The number of victims per query, if each query sorts again.
    private static let step = 64

    private struct State {
        let table: ResidentTable
        let query: PolicyQuery
        /// Whether an index provides the policy's order. Then the query runs again for each victim, which is exact.
        var isIndexed = false
        var resident: [Bool]
        /// The number of resident children of each block.
        var children: [Int]
        var heats: [(heat: Double, lastAccess: Double)]
        var stored = 0
        var clock = 0.0
    }

    package func run(_ work: Work = Work()) throws -> Simulation.Result {
        let table = try ResidentTable(leavesOnly: leavesFirst)
        var isIndexed = false
        if let terms = PolicyTerms.of(policy.sql), !terms.isEmpty {
            // Fails if a term does not depend on the row alone, such as :now; then SQLite sorts.
            let leaves = leavesFirst ? " WHERE children = 0" : ""
            isIndexed =
                (try? table.database.execute(
                    "CREATE INDEX policy_order ON resident (\(terms.joined(separator: ", ")))\(leaves)")) != nil
        }
        var state = State(
            table: table, query: try table.database.compile(policy, limit: Self.step), isIndexed: isIndexed,
            resident: .init(repeating: false, count: trace.objects.count),
            children: .init(repeating: 0, count: trace.objects.count),
            heats: .init(repeating: (0, 0), count: trace.objects.count))
        var result = Simulation.Result()
        // The previous block of the request, if resident; whether all previous blocks were; whether the cache is full.
        var (before, isWhole, isFull) = (-1, true, false)
        for index in trace.accesses.indices {
            if index & 0xFFF == 0 {
                try work.check()
                if index > 0 { work.advance(0x1000) }
            }
            let place = Int(trace.accesses[index])
            let object = trace.objects[place]
            let now = trace.times[index]
            if object.depth == 0 { (before, isWhole, isFull) = (-1, true, false) }
            result.accesses += 1
            result.bytes = result.bytes.adding(saturating: object.bytes)
            let isThere = state.resident[place]
            if !isThere { isWhole = false }
            if !isWhole {
                result.misses += 1
                result.missedBytes = result.missedBytes.adding(saturating: object.bytes)
            }
            if isThere {
                try table.touch(place, at: now, clock: state.clock)
            } else {
                if !isFull { isFull = try !insert(place, at: now, behind: before, &state) }
                if isFull { continue }
            }
            before = place
        }
        return result
    }

    /// Inserts a block, evicting others if necessary.
    ///
    /// - Returns: false if there is no space.
    private func insert(_ place: Int, at now: Double, behind before: Int, _ state: inout State) throws -> Bool {
        let object = trace.objects[place]
        guard object.bytes <= quota else { return false }
        if object.bytes > quota - state.stored {
            let target = max(min(quota - object.bytes, Int(saturating: Double(quota) * low)), 0)
            try evict(now: now, excluding: before, target: target, &state)
            guard object.bytes <= quota - state.stored else { return false }
        }
        var facts = object.facts(at: now, after: state.heats[place], clock: state.clock)
        facts.children = state.children[place]
        try state.table.insert(place, facts)
        state.resident[place] = true
        state.stored += object.bytes
        if object.parent >= 0 { try count(1, Int(object.parent), &state) }
        return true
    }

    private func count(_ change: Int, _ parent: Int, _ state: inout State) throws {
        state.children[parent] += change
        if state.resident[parent] { try state.table.addChildren(change, of: parent) }
    }

    private func evict(now: Double, excluding excluded: Int, target: Int, _ state: inout State) throws {
        try state.table.setNow(now)
        while state.stored > target {
            var victims: [Int] = []
            var freed = 0
            state.query.bind(now: now)
            while state.stored - freed > target, victims.isEmpty || !state.isIndexed,
                try state.query.next(seconds: .infinity)
            {
                let victim = Int(state.query.shard)
                guard state.resident.indices.contains(victim), state.resident[victim], victim != excluded else {
                    continue
                }
                state.resident[victim] = false
                victims.append(victim)
                freed += trace.objects[victim].bytes
                state.clock = max(state.clock, state.query.priority ?? 0)
            }
            state.query.reset()
            if victims.isEmpty {
                // The policy returns no further victim.
                let any = state.resident.indices.first {
                    state.resident[$0] && $0 != excluded && (!leavesFirst || state.children[$0] == 0)
                }
                guard let any else { return }
                state.resident[any] = false
                victims = [any]
                freed = trace.objects[any].bytes
            }
            state.stored -= freed
            for victim in victims {
                state.heats[victim] = try state.table.delete(victim)
                let parent = Int(trace.objects[victim].parent)
                if parent >= 0 { try count(-1, parent, &state) }
            }
        }
    }
}
