import Crypto
import Dispatch
import Files
import ModelFormats
import Storage
import Support

/// One shard on its way in: chunks are hashed in order on one queue and written in order on another, so that hashing,
/// writing and reading ahead overlap.
///
/// After the first chunk the stream asks whether the store seems to hold the shard already (same size, same
/// beginning). If so, it only hashes, and writes nothing: the committer checks the full digest.
///
/// Sendable because its state is touched on `hashing` alone, `writeFailed` and the bytes of the staged file on `writing` alone.
final class ShardStream: @unchecked Sendable {
    /// What a finished stream hands on. Without a staged file, a shard with this digest should be in the store.
    struct Outcome: Sendable {
        var facts: ShardFacts
        var staged: StagedFile?
    }

    private let shard: ShardPlan.Shard
    private let mayHold: @Sendable (_ bytes: Int, _ head: Int64) throws -> Bool
    private let stage: @Sendable () throws -> StagedFile
    private let finished: @Sendable (Result<Outcome, any Error>) -> Void
    private let hashing = DispatchQueue(label: "weightstore.hash")
    private let writing = DispatchQueue(label: "weightstore.write")

    private var hasher = SHA256()
    private var hashed = 0
    private var head: Int64 = 0
    private var staged: StagedFile?
    private var failed = false
    private var writeFailed = false

    init(
        _ shard: ShardPlan.Shard,
        mayHold: @escaping @Sendable (Int, Int64) throws -> Bool,
        stage: @escaping @Sendable () throws -> StagedFile,
        finished: @escaping @Sendable (Result<Outcome, any Error>) -> Void
    ) {
        self.shard = shard
        self.mayHold = mayHold
        self.stage = stage
        self.finished = finished
    }

    /// - Parameter buffer: the shard's next `count` bytes. All but the last have at least `ShardFacts.headBytes`.
    func append(_ buffer: Buffer, count: Int) {
        hashing.async { [self] in
            guard !failed else { return }
            do {
                try take(buffer, count)
            } catch {
                fail(error)
            }
        }
    }

    /// Gives up; `finished` is told why. A stream that has finished is left alone.
    func abandon(_ error: any Error) {
        hashing.async { [self] in
            if !failed && hashed < shard.bytes { fail(error) }
        }
    }

    private func take(_ buffer: Buffer, _ count: Int) throws {
        let offset = hashed
        let bytes = buffer.bytes(count)
        let beginning = offset == 0 ? min(count, ShardFacts.headBytes) : 0
        if beginning > 0 {
            hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[..<beginning]))
            head = ContentDigest(hasher.finalize()).head
            if try !mayHold(shard.bytes, head) { staged = try stage() }
        }
        hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[beginning...]))
        hashed += count
        let isLast = hashed == shard.bytes
        let digest = isLast ? ContentDigest(hasher.finalize()) : nil
        writing.async { [self, staged] in
            guard !writeFailed else { return }
            do {
                try staged?.write(buffer.bytes(count), at: offset)
                guard let digest else { return }
                try staged?.finish()
                let facts = ShardFacts(
                    digest: digest, bytes: shard.bytes, kind: ShardKind(shard.kind), layer: shard.layer, head: head)
                finished(.success(Outcome(facts: facts, staged: staged)))
            } catch {
                writeFailed = true
                hashing.async { self.fail(error) }
            }
        }
    }

    private func fail(_ error: any Error) {
        guard !failed else { return }
        failed = true
        staged = nil
        finished(.failure(error))
    }
}
