import Glibc
import ModelFormats
import TestSupport
import Testing
@testable import WeightStore

/// The ranges into which a fetch divides a file.
@Suite(.blocking) struct FetchQueueTests {
    /// A file with small tensors of one layer.
    private func file(tensors count: Int, bytes: Int) throws -> FetchFile {
        let tensors = (0..<count).map {
            SafetensorsWriter.Tensor(name: "model.layers.0.\($0).w", dtype: "U8", shape: [bytes])
        }
        let header = try SafetensorsWriter(tensors).header
        let source = MemorySource(
            name: "model.safetensors", bytes: header + [UInt8](repeating: 0, count: count * bytes))
        let layout = try FileLayout.read(source, path: "model.safetensors")
        let plan = ShardPlan(layout)
        let remote = RemoteFile(
            model: "org/model", commit: String(repeating: "0", count: 40), path: "model.safetensors",
            bytes: source.count, digest: nil, gitObject: nil)
        return FetchFile(remote, layout, plan, id: nil, wanted: Set(plan.shards.indices))
    }

    /// The copies of the range that is being made are quadratic in its pieces: with them, the test takes a quarter of an
    /// hour of the processor.
    @Test("a range of 200,000 tensors is made without a copy for each of them")
    func manyPieces() throws {
        let start = try secondsOfThread()
        let whole = try file(tensors: 200_000, bytes: 16)
        var queue = FetchQueue([whole])
        var (pieces, bytes, ranges) = (0, 0, 0)
        while let job = try queue.next(
            atMost: 4 << 20,
            open: { file, ordinal, places in
                let shard = file.plan.shards[ordinal]
                return .acquired(ShardAssembly(shard, ShardWriter(bytes: shard.bytes), places) { _ in })
            })
        {
            pieces += job.pieces.count
            bytes += job.length
            ranges += 1
        }
        #expect(pieces >= 200_000 && bytes == whole.remote.bytes)
        #expect(ranges < 50, "\(ranges) ranges")
        // Other tests and programs have no part in the time of this thread.
        let seconds = try secondsOfThread() - start
        #expect(seconds < 120, "\(seconds) s of the processor")
    }

    /// The processor's time that the calling thread has used.
    private func secondsOfThread() throws -> Double {
        var time = timespec()
        try #require(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
