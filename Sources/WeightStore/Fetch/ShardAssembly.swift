import Dispatch
import ModelFormats
import Storage
import Support
import Synchronization

/// Orders the pieces of a shard, which arrive from an origin in any order.
///
/// A shard with one extent streams through the buffers of the pool; one with several is gathered in memory.
final class ShardAssembly: Sendable {
    /// The number of bytes at the front that an earlier attempt has written.
    let have: Int
    private let bytes: Int
    private let pipeline: ShardPipeline

    private struct State {
        /// The number of bytes passed to the pipeline.
        var next = 0
        /// Pieces that arrived early, by offset.
        var early: [Int: (buffer: Buffer, range: Range<Int>)] = [:]
        var gathered: Buffer?
        var missing = 0
    }

    private let state = Mutex(State())

    /// - Parameters:
    ///   - payload: bytes to transfer, without the zero padding between the tensors of a pack.
    ///   - isGathered: whether the shard has several extents in the file. Such a shard is fetched whole, and not
    ///     resumed.
    init(
        _ shard: ShardPlan.Shard, _ writer: ShardWriter, payload: Int, isGathered: Bool,
        finished: @escaping ShardPipeline.Finished
    ) {
        let have = writer.have
        self.have = have
        bytes = shard.bytes
        pipeline = ShardPipeline(shard, writer, finished: finished)
        state.withLock { state in
            state.next = have
            state.missing = payload
            if isGathered && have < shard.bytes { state.gathered = Buffer(bytes: shard.bytes) }
        }
    }

    /// Adds the bytes of a piece.
    func add(_ buffer: Buffer, _ range: Range<Int>, at shardOffset: Int) {
        state.withLock { state in
            if let gathered = state.gathered {
                gathered.room(at: shardOffset, range.count)
                    .copyMemory(from: UnsafeRawBufferPointer(buffer.room(at: range.lowerBound, range.count)))
                state.missing -= range.count
                if state.missing == 0 {
                    state.gathered = nil
                    pipeline.append(gathered, 0..<bytes)
                }
                return
            }
            state.early[shardOffset] = (buffer, range)
            while let (buffer, range) = state.early.removeValue(forKey: state.next) {
                state.next += range.count
                pipeline.append(buffer, range)
            }
        }
    }

    /// Ends the shard with an error; written bytes stay for the next attempt.
    func abandon(_ error: any Error) {
        state.withLock { $0.early = [:] }
        pipeline.abandon(error)
    }
}
