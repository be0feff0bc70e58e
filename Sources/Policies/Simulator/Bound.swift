/// The fewest misses that any policy could have, knowing the future: what no policy can go below.
///
/// **Bytes**: Belady's MIN, for which each byte is an object of its own (Belady, IBM Systems Journal 5(2), 1966): the bytes
/// go whose next use is farthest away, and what is not worth bringing in is not brought in. For bytes this is exact;
/// whole objects can only do worse.
///
/// **Objects** of different sizes: the bound of PFOO-L (Berger, Beckmann, Harchol-Balter, Practical Bounds on Optimal
/// Caching with Variable Object Sizes, POMACS 2(2), 2018). To have a hit, an object takes its bytes for the time between
/// two uses; the cache has `quota × accesses` of that to give. The cheapest hits are taken until it is spent.
enum Bound {
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
        var room = Double(quota) * Double(trace.accesses.count)
        return costs.prefix { cost in
            room -= cost
            return room >= 0
        }.count
    }

    private static func hitBytes(_ trace: AccessTrace, _ next: [Int], _ quota: Int) -> Int {
        var resident = [Int](repeating: 0, count: trace.objects.count)
        var nextUse = [Int](repeating: .max, count: trace.objects.count)
        // The farthest next use on top; entries of an earlier use are passed over.
        var heap = Heap<(use: Int, object: Int)> { $0.use > $1.use }
        var stored = 0
        var hits = 0
        for index in trace.accesses.indices {
            let object = Int(trace.accesses[index])
            hits += resident[object]
            stored -= resident[object]
            resident[object] = 0
            nextUse[object] = next[index]
            guard next[index] != .max else { continue }
            resident[object] = trace.objects[object].bytes
            stored += resident[object]
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
