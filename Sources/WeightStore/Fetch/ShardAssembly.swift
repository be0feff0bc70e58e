import Dispatch
import ModelFormats
import Storage
import Support
import Synchronization

/// Orders the pieces of a shard, which arrive from an origin in any order.
///
/// A piece that is next in the shard streams through its buffer of the pool. One that arrives early waits in it, too,
/// if the pieces before it are on their way. Otherwise the wait is long, because the shard lies in several places of
/// the file: the bytes are copied out of the pool, and `ShardPlan.scatteredShards` bounds their number.
final class ShardAssembly: Sendable {
    /// The number of bytes at the front that an earlier attempt has written.
    let have: Int
    private let pipeline: ShardPipeline
    /// The padding between tensors, in order.
    private let gaps: [Range<Int>]

    private struct State {
        /// The number of bytes passed to the pipeline.
        var next = 0
        /// The number of the first gap that may be behind `next`.
        var gap = 0
        /// Pieces that arrived early, by offset.
        var early: [Int: (buffer: Buffer, range: Range<Int>)] = [:]
    }

    private let state = Mutex(State())

    /// - Parameter places: the shard's extents, in the order of its bytes.
    init(
        _ shard: ShardPlan.Shard, _ writer: ShardWriter, _ places: [ShardPlan.Place],
        arrived: ShardPipeline.Arrived? = nil,
        finished: @escaping ShardPipeline.Finished
    ) {
        let have = writer.have
        self.have = have
        gaps = zip(places, places.dropFirst()).compactMap { left, right in
            let end = left.extent.shardOffset + left.extent.length
            return end < right.extent.shardOffset ? end..<right.extent.shardOffset : nil
        }
        pipeline = ShardPipeline(shard, writer, arrived: arrived, finished: finished)
        state.withLock { state in
            state.next = have
            pad(&state)
        }
    }

    /// Adds the bytes of a piece.
    ///
    /// - Parameter isInOrder: whether the pieces before it have buffers of the pool, or have arrived.
    func add(_ buffer: Buffer, _ range: Range<Int>, at shardOffset: Int, isInOrder: Bool) {
        state.withLock { state in
            if isInOrder || shardOffset == state.next {
                state.early[shardOffset] = (buffer, range)
            } else {
                let copy = Buffer(bytes: range.count)
                copy.writableBytes(range.count)
                    .copyMemory(from: UnsafeRawBufferPointer(buffer.writableBytes(at: range.lowerBound, range.count)))
                state.early[shardOffset] = (copy, 0..<range.count)
            }
            while let (buffer, range) = state.early.removeValue(forKey: state.next) {
                state.next += range.count
                pipeline.append(buffer, range)
                pad(&state)
            }
        }
    }

    /// Passes the padding at `next` to the pipeline.
    private func pad(_ state: inout State) {
        while state.gap < gaps.count, gaps[state.gap].lowerBound <= state.next {
            let rest = gaps[state.gap].upperBound - state.next
            state.gap += 1
            guard rest > 0 else { continue }
            pipeline.append(Buffer(bytes: rest), 0..<rest)
            state.next += rest
        }
    }

    /// Ends the shard with an error; written bytes stay for the next attempt.
    func abandon(_ error: any Error) {
        state.withLock { $0.early = [:] }
        pipeline.abandon(error)
    }
}
