import Dispatch
import Files
import ModelFormats
import Storage
import Support

/// Runs a `ShardWriter` on two queues: buffers are hashed in order on one and written in order on the other, so that
/// hashing, writing and reading ahead overlap.
///
/// Sendable because what hashing touches is touched on `hashing` alone, and what writing touches on `writing` alone;
/// the staged file is set on `hashing`, before the first write is on its way.
final class ShardPipeline: @unchecked Sendable {
    /// Without a staged file, a shard with this digest should be in the store.
    typealias Finished = @Sendable (Result<(facts: ShardFacts, staged: StagedFile?), any Error>) -> Void

    private let shard: ShardPlan.Shard
    private let writer: ShardWriter
    private let stage: (@Sendable (_ head: Int64) throws -> StagedFile?)?
    private let finished: Finished
    private let hashing = DispatchQueue(label: "weightstore.shard.hash")
    private let writing = DispatchQueue(label: "weightstore.shard.write")
    private var hashFailed = false
    private var hasEnded = false

    /// - Parameters:
    ///   - stage: called once the shard's beginning was hashed, if the writer has no file yet: the file to write to, or
    ///     nil if the store seems to hold the shard. Then it is only hashed, and the committer compares the whole
    ///     digest.
    ///   - finished: called once, when the shard is durable or has failed.
    init(
        _ shard: ShardPlan.Shard, _ writer: ShardWriter,
        stage: (@Sendable (_ head: Int64) throws -> StagedFile?)? = nil, finished: @escaping Finished
    ) {
        self.shard = shard
        self.writer = writer
        self.stage = stage
        self.finished = finished
        if writer.have > 0 { resume() }
    }

    /// - Parameter range: of the buffer: the shard's next bytes. Where a `stage` decides, all pieces but the last have
    ///   at least `ShardFacts.headBytes`.
    func append(_ buffer: Buffer, _ range: Range<Int>) {
        hash { [self] in
            let bytes = Self.bytes(buffer, range)
            let offset = writer.hashed
            if let stage, offset == 0 {
                let beginning = min(range.count, ShardFacts.headBytes)
                writer.hash(UnsafeRawBufferPointer(rebasing: bytes[..<beginning]))
                if let head = writer.head, let file = try stage(head) { writer.stage(file) }
                writer.hash(UnsafeRawBufferPointer(rebasing: bytes[beginning...]))
            } else {
                writer.hash(bytes)
            }
            let facts = writer.facts(shard)
            // After a write that failed, none follows: the size of the file must not say more than is true.
            write { [self] in
                try writer.write(Self.bytes(buffer, range), at: offset)
                if let facts { end(.success((facts, try writer.finish()))) }
            }
        }
    }

    /// Gives up what has not arrived; a shard that has finished is left alone.
    func abandon(_ error: any Error) {
        hash { throw error }
    }

    private func resume() {
        hash { [self] in
            try writer.hashWhatIsThere()
            guard let facts = writer.facts(shard) else { return }
            write { [self] in end(.success((facts, try writer.finish()))) }
        }
    }

    private static func bytes(_ buffer: Buffer, _ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(buffer.room(at: range.lowerBound, range.count))
    }

    private func hash(_ step: @escaping @Sendable () throws -> Void) {
        hashing.async { [self] in
            guard !hashFailed else { return }
            do {
                try step()
            } catch {
                hashFailed = true
                write { throw error }
            }
        }
    }

    private func write(_ step: @escaping @Sendable () throws -> Void) {
        writing.async { [self] in
            guard !hasEnded else { return }
            do {
                try step()
            } catch {
                end(.failure(error))
            }
        }
    }

    private func end(_ result: Result<(facts: ShardFacts, staged: StagedFile?), any Error>) {
        hasEnded = true
        // The failure is the one to report; what stays without need is collected.
        if case .failure = result { try? writer.abandon() }
        finished(result)
    }
}
