import Storage
import Support

/// KV blocks in a cache of one size under one policy, replaying requests for prefixes.
///
/// A block is a hit only if it is there and all blocks before it are: an engine can't use it otherwise. What missed is
/// computed, and put behind what is there. Eviction is that of ``KVCandidates``: of the blocks that nothing builds on, the
/// one goes that the policy names first.
struct PrefixSimulation {
    package let trace: AccessTrace
    package let policy: Policy
    package let quota: Int
    /// Share of the quota down to which an eviction goes.
    package let low: Double
    /// Whether a block goes only when nothing builds on it. Otherwise the policy's word is all: what that would be like.
    package let leavesFirst: Bool

    /// So many victims are asked for at once, where each look sorts anew.
    private static let step = 64

    private struct State {
        let table: ResidentTable
        let query: PolicyQuery
        /// Whether an index gives the policy's order: then it is asked again for each victim, and the answer is exact.
        var isIndexed = false
        var resident: [Bool]
        /// How many blocks that are there build on one.
        var children: [Int]
        var heats: [(heat: Double, lastAccess: Double)]
        var stored = 0
        var clock = 0.0
    }

    package func run(_ work: Work = Work()) throws -> Simulation.Result {
        let table = try ResidentTable(leavesOnly: leavesFirst)
        var isIndexed = false
        if let terms = PolicyTerms.of(policy.sql), !terms.isEmpty {
            // Refused where a term is none of the row alone, such as :now: SQLite sorts then.
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
        // The block before in the request, if it is there; whether all before are; whether there is no room for more.
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
            result.bytes += object.bytes
            let isThere = state.resident[place]
            if !isThere { isWhole = false }
            if !isWhole {
                result.misses += 1
                result.missedBytes += object.bytes
            }
            if isThere {
                try table.touch(place, at: now, clock: state.clock)
            } else {
                if !isFull { isFull = try !bring(place, at: now, behind: before, &state) }
                if isFull { continue }
            }
            before = place
        }
        return result
    }

    /// - Returns: false if there is no room.
    private func bring(_ place: Int, at now: Double, behind before: Int, _ state: inout State) throws -> Bool {
        let object = trace.objects[place]
        guard object.bytes <= quota else { return false }
        if state.stored + object.bytes > quota {
            let target = max(min(quota - object.bytes, Int(Double(quota) * low)), 0)
            try evict(now: now, sparing: before, target: target, &state)
            guard state.stored + object.bytes <= quota else { return false }
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

    private func evict(now: Double, sparing spared: Int, target: Int, _ state: inout State) throws {
        try state.table.setNow(now)
        while state.stored > target {
            var victims: [Int] = []
            var freed = 0
            state.query.bind(now: now)
            while state.stored - freed > target, victims.isEmpty || !state.isIndexed,
                try state.query.next(seconds: .infinity)
            {
                let victim = Int(state.query.shard)
                guard state.resident.indices.contains(victim), state.resident[victim], victim != spared else {
                    continue
                }
                state.resident[victim] = false
                victims.append(victim)
                freed += trace.objects[victim].bytes
                state.clock = max(state.clock, state.query.priority ?? 0)
            }
            state.query.reset()
            if victims.isEmpty {
                // The policy names none.
                let any = state.resident.indices.first {
                    state.resident[$0] && $0 != spared && (!leavesFirst || state.children[$0] == 0)
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
