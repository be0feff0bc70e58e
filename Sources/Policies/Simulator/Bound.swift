import Support

/// The lower bound of misses for any policy, even one that knows the future.
///
/// **Bytes**: Belady's MIN, with each byte as an object of its own (Belady, IBM Systems Journal 5(2), 1966): it evicts
/// the bytes whose next use is farthest in the future, possibly those of the current access. For bytes the bound is
/// exact; whole objects can only have more misses.
///
/// **Objects** of different sizes: PFOO-L (Berger, Beckmann, Harchol-Balter, Practical Bounds on Optimal Caching with
/// Variable Object Sizes, POMACS 2(2), 2018). A hit costs the object's bytes × the time since its previous use; the
/// cache has a budget of `quota × accesses`. The cheapest hits are counted until the budget is spent.
enum Bound {
    /// The fewest misses in a cache of `quota` bytes.
    package static func result(_ trace: AccessTrace, quota: Int) -> Simulation.Result {
        let next = trace.nextUses
        var result = Simulation.Result()
        result.accesses = trace.accesses.count
        result.bytes = trace.bytes
        result.misses = result.accesses - hits(trace, next, quota)
        result.missedBytes = result.bytes - hitBytes(trace, next, quota)
        return result
    }

    private static func hits(_ trace: AccessTrace, _ next: [Int], _ quota: Int) -> Int {
        var costs: [Double] = []
        for index in trace.accesses.indices where next[index] != .max {
            let bytes = trace.objects[Int(trace.accesses[index])].bytes
            if bytes <= quota { costs.append(Double(bytes) * Double(next[index] - index)) }
        }
        costs.sort()
        var space = Double(quota) * Double(trace.accesses.count)
        return costs.prefix { cost in
            space -= cost
            return space >= 0
        }.count
    }

    private static func hitBytes(_ trace: AccessTrace, _ next: [Int], _ quota: Int) -> Int {
        var resident = [Int](repeating: 0, count: trace.objects.count)
        var nextUse = [Int](repeating: .max, count: trace.objects.count)
        // The farthest next use is first; entries of an earlier use are skipped.
        var heap = Heap<(use: Int, object: Int)> { $0.use > $1.use }
        var stored = 0
        var hits = 0
        for index in trace.accesses.indices {
            let object = Int(trace.accesses[index])
            hits = hits.adding(saturating: resident[object])
            stored -= resident[object]
            resident[object] = 0
            nextUse[object] = next[index]
            guard next[index] != .max else { continue }
            resident[object] = trace.objects[object].bytes
            stored = stored.adding(saturating: resident[object])
            heap.insert((next[index], object))
            while stored > quota, let top = heap.first {
                guard nextUse[top.object] == top.use, resident[top.object] > 0 else {
                    heap.removeFirst()
                    continue
                }
                let bytes = min(resident[top.object], stored - quota)
                resident[top.object] -= bytes
                stored -= bytes
                if resident[top.object] == 0 { heap.removeFirst() }
            }
        }
        return hits
    }
}
