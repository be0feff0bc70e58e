extension ShardPlan {
    /// The limits of a pass over a file.
    package struct PassLimits: Sendable {
        /// The first bytes of each shard that are gathered in memory, in whatever order they are in the file. The rest
        /// of a shard is passed on in its order.
        package var frontBytes: Int
        /// The memory for the fronts, and for tensors that are in the file before their place in the shard, in bytes.
        package var bufferBytes: Int
        /// The most shards that are begun and not complete, beside those that lie in one place.
        package var openShards: Int

        package init(frontBytes: Int, bufferBytes: Int, openShards: Int) {
            self.frontBytes = frontBytes
            self.bufferBytes = bufferBytes
            self.openShards = openShards
        }
    }

    /// The shards that cannot be put together in a pass over the file in its order, within these limits. They are read
    /// on their own, after the pass.
    ///
    /// The scales of an expert are often far before its matrices, because writers sort tensors by the size of their
    /// type. They are small, so they wait in memory. In a file that has the second matrices of all experts after all
    /// first ones, as many shards are open at once as a layer has experts.
    ///
    /// - Parameter wanted: the shards to read; nil for all.
    package func scatteredShards(_ limits: PassLimits, among wanted: Set<Int>? = nil) -> Set<Int> {
        var scattered: Set<Int> = []
        var states: [Int: PassState] = [:]
        var held = 0
        var open = 0
        for extent in extents {
            let number = extent.shard
            guard extentCount(of: number) > 1, wanted?.contains(number) ?? true, !scattered.contains(number) else {
                continue
            }
            var state =
                states.removeValue(forKey: number)
                ?? PassState(places(of: number).map(\.extent), front: min(limits.frontBytes, shards[number].bytes))
            let (heldBefore, wasOpen) = (state.held, state.isOpen)
            state.add(extent)
            held += state.held - heldBefore
            open += (state.isOpen ? 1 : 0) - (wasOpen ? 1 : 0)
            if held > limits.bufferBytes || open > limits.openShards {
                scattered.insert(number)
                held -= state.held
                open -= state.isOpen ? 1 : 0
            } else if !state.isComplete {
                states[number] = state
            }
        }
        return scattered
    }

    /// Whether there is memory for the whole front of a shard once `read` bytes of it were read. Before, each of its
    /// tensors waits in memory of its own: the scales of all experts of a model, which are in front of all matrices,
    /// would otherwise need memory for as many fronts.
    package static func hasFront(_ read: Int, of front: Int) -> Bool { read >= front / 8 }

    /// A shard during a pass.
    private struct PassState {
        private let extents: [Extent]
        private let front: Int
        private var missingFront: Int
        private var readFront = 0
        /// The number of the first extent that is not passed on.
        private var next = 0
        /// The extents that wait, by offset in the shard, with the bytes behind the front.
        private var early: [Int: Int] = [:]
        private var earlyBytes = 0
        /// Whether a byte of the front was read.
        private var isBegun = false

        init(_ extents: [Extent], front: Int) {
            self.extents = extents
            self.front = front
            missingFront = extents.reduce(0) { $0 + max(0, min($1.shardOffset + $1.length, front) - $1.shardOffset) }
        }

        var isComplete: Bool { next == extents.count }

        /// Whether the shard is begun. One that is all front is begun when it is complete.
        var isOpen: Bool { isBegun && !isComplete && !isAllFront }

        private var isAllFront: Bool { (extents.last.map { $0.shardOffset + $0.length } ?? 0) <= front }

        /// Bytes in memory.
        var held: Int {
            if missingFront == 0 { return earlyBytes }
            return earlyBytes + (ShardPlan.hasFront(readFront, of: front) ? front : readFront)
        }

        mutating func add(_ extent: Extent) {
            let end = extent.shardOffset + extent.length
            isBegun = isBegun || extent.shardOffset < front || front == 0
            let inFront = max(0, min(end, front) - extent.shardOffset)
            missingFront -= inFront
            readFront += inFront
            early[extent.shardOffset] = end - max(extent.shardOffset, min(front, end))
            earlyBytes += early[extent.shardOffset] ?? 0
            guard missingFront == 0 else { return }
            while next < extents.count, let bytes = early.removeValue(forKey: extents[next].shardOffset) {
                earlyBytes -= bytes
                next += 1
            }
        }
    }
}
