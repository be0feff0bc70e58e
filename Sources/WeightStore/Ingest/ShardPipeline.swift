import Dispatch
import Files
import ModelFormats
import Storage
import Support

/// Runs a `ShardWriter` on two queues: buffers are hashed in order on one and written in order on the other, so that
/// hashing, writing and reading ahead overlap.
///
/// Sendable because the hashing state is used only on `hashing`, and the writing state only on `writing`; the staged
/// file is set on `hashing` before the first write is submitted.
final class ShardPipeline: @unchecked Sendable {
    /// Receives the result. Without a staged file, the store should hold a shard with this digest.
    typealias Finished = @Sendable (Result<(facts: ShardFacts, staged: StagedFile?), any Error>) -> Void

    /// Receives the complete file before it is durable.
    typealias Arrived = @Sendable (_ facts: ShardFacts, _ staged: StagedFile) -> Void

    private let shard: ShardPlan.Shard
    private let writer: ShardWriter
    private let stage: (@Sendable (_ head: Int64) throws -> StagedFile?)?
    private let arrived: Arrived?
    private let finished: Finished
    private let hashing = DispatchQueue(label: "weightstore.shard.hash")
    private let writing = DispatchQueue(label: "weightstore.shard.write")
    private var hashFailed = false
    private var hasEnded = false

    /// - Parameters:
    ///   - stage: called when the first `ShardFacts.headBytes` are hashed, if the writer has no file yet. Returns the
    ///     file to write to, or nil if the store seems to hold the shard: it is then only hashed, and the committer
    ///     compares the whole digest.
    ///   - arrived: called once, when the shard is written and before it is durable.
    ///   - finished: called once, when the shard is durable or has failed.
    init(
        _ shard: ShardPlan.Shard, _ writer: ShardWriter,
        stage: (@Sendable (_ head: Int64) throws -> StagedFile?)? = nil, arrived: Arrived? = nil,
        finished: @escaping Finished
    ) {
        self.shard = shard
        self.writer = writer
        self.stage = stage
        self.arrived = arrived
        self.finished = finished
        if writer.have > 0 { resume() }
    }

    /// Appends the shard's next bytes.
    ///
    /// - Parameter range: their place in the buffer. With a `stage`, all pieces but the last have at least
    ///   `ShardFacts.headBytes`.
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
            // No write follows a failed one: the file's size must not exceed the bytes that are valid.
            write { [self] in
                try writer.write(Self.bytes(buffer, range), at: offset)
                if let facts { try complete(facts) }
            }
        }
    }

    /// Ends the pipeline with an error; no effect on a shard that has finished.
    func abandon(_ error: any Error) {
        hash { throw error }
    }

    private func resume() {
        hash { [self] in
            try writer.hashWrittenBytes()
            guard let facts = writer.facts(shard) else { return }
            write { [self] in try complete(facts) }
        }
    }

    private func complete(_ facts: ShardFacts) throws {
        if let staged = writer.staged { arrived?(facts, staged) }
        end(.success((facts, try writer.finish())))
    }

    private static func bytes(_ buffer: Buffer, _ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(buffer.writableBytes(at: range.lowerBound, range.count))
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
        // The first failure is the one to report; gc removes a file that stays.
        if case .failure = result { try? writer.abandon() }
        finished(result)
    }
}
