import Dispatch
import ModelFormats
import Storage
import Support
import Synchronization

/// Puts the pieces of a shard in order, which arrive from an origin in any.
///
/// A shard with one extent streams through the buffers of the pool; one with several is gathered in memory.
final class ShardAssembly: Sendable {
    /// The bytes at the front that are here already.
    let have: Int
    private let bytes: Int
    private let pipeline: ShardPipeline

    private struct State {
        /// Bytes handed on, in order.
        var next = 0
        /// Those that came too early, by their place.
        var early: [Int: (buffer: Buffer, range: Range<Int>)] = [:]
        var gathered: Buffer?
        var missing = 0
    }

    private let state = Mutex(State())

    /// - Parameters:
    ///   - payload: bytes that travel. The padding between the tensors of a pack does not; it is zero.
    ///   - isGathered: whether its pieces come from several places of the file. Such a shard is there as a whole, or
    ///     not at all.
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

    /// Gives up what has not arrived; what is written stays.
    func abandon(_ error: any Error) {
        state.withLock { $0.early = [:] }
        pipeline.abandon(error)
    }
}
