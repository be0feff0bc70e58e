/// Selects the last `recent` positions, and of those before them the `best` with the greatest attention, in each head
/// separately.
///
/// The order of scores is defined exactly, so that two programs select the same positions:
///
/// 1. A NaN counts as 0: no attention. Scores are summed in float32, query by query, query head by query head.
/// 2. The last `recent` positions are excluded.
/// 3. Each sum is pooled with its neighbours, `kernel` sums in total: their maximum, NaN ignored, or their sum from
///    left to right, which gives the same order as their mean.
/// 4. The greatest are selected; of equal ones, the earlier position. A sum that is NaN (of infinities) is below all
///    others.
struct Ranking {
    var best: Int
    var recent: Int
    var kernel = 1
    var pooling = Snap.Pooling.max

    func positions(in layer: KVLayer, _ attention: KVView) -> KVPositions {
        let length = layer.sequence
        let recent = min(recent, length)
        let others = length - recent
        let best = min(best, others)
        if best == others { return KVPositions(all: layer) }

        let count = best + recent
        if count == 0 { return KVPositions(of: layer, shared: []) }
        let heads = layer.batch * layer.heads
        let group = attention.shape.heads / max(layer.heads, 1)
        let bytes = attention.shape.count * attention.element.bytes
        let indices = [Int32](unsafeUninitializedCapacity: heads * count) { target, written in
            let start = target.baseAddress
            // For each position: sum, pooled sum, key.
            Parallel.run(heads, bytes: bytes + heads * length * 8) { head in
                withUnsafeTemporaryAllocation(of: Float.self, capacity: max(3 * others, 1)) { scratch in
                    let sums = scratch.baseAddress!
                    let pooled = sums + others
                    AttentionSum.sum(attention, heads: head * group..<(head + 1) * group, others, into: sums)
                    let ranked = pool(sums, others, into: pooled)
                    (pooled + others).withMemoryRebound(to: UInt32.self, capacity: others) { keys in
                        TopPositions.order(ranked, others, into: keys)
                        let own = start! + head * count
                        TopPositions.write(keys, others, best: best, to: own)
                        for i in 0..<recent { own[best + i] = Int32(truncatingIfNeeded: others + i) }
                    }
                }
            }
            written = heads * count
        }
        return KVPositions(of: layer, count: count, perHead: indices)
    }

    /// The pooled scores: `scores` itself, or `target`.
    private func pool(
        _ scores: UnsafePointer<Float>, _ count: Int, into target: UnsafeMutablePointer<Float>
    ) -> UnsafePointer<Float> {
        if kernel == 1 { return scores }
        let half = min(kernel / 2, count)
        target.update(repeating: pooling == .max ? -.infinity : 0, count: count)
        for offset in -half...half {
            let first = max(0, -offset)
            let last = min(count, count - offset)
            guard first < last else { continue }
            if pooling == .max {
                for i in first..<last {
                    let score = scores[i &+ offset]
                    target[i] = score > target[i] ? score : target[i]
                }
            } else {
                for i in first..<last { target[i] += scores[i &+ offset] }
            }
        }
        return UnsafePointer(target)
    }
}
