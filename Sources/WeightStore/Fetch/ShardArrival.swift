import Crypto
import Dispatch
import Files
import Glibc
import ModelFormats
import Storage
import Support
import Synchronization

/// One shard on its way from an origin. Its bytes come in pieces, in any order; they are hashed in order on one queue,
/// and written in order to the shard's partial file on another, so that its size always says what is safe.
///
/// A shard with one extent streams through the buffers of the pool; one with several is gathered in memory.
///
/// Sendable because its state is behind the mutex, or touched on `hashing` or `writing` alone.
final class ShardArrival: @unchecked Sendable {
    /// What comes out in the end.
    typealias Finished = @Sendable (Result<(facts: ShardFacts, staged: StagedFile), any Error>) -> Void

    let shard: ShardPlan.Shard
    /// The bytes at the front that are here already.
    let have: Int
    /// Let go of in the end: a model has more shards than a process has descriptors.
    private var staged: StagedFile?
    private let group: DispatchGroup
    private let finished: Finished
    private let hashing = DispatchQueue(label: "weightstore.fetch.hash")
    private let writing = DispatchQueue(label: "weightstore.fetch.write")

    private struct State {
        /// Bytes handed to the hasher, in order.
        var next = 0
        /// Those that came too early, by their place.
        var early: [Int: (buffer: Buffer, range: Range<Int>)] = [:]
        var gathered: Buffer?
        var missing = 0
    }

    private let state = Mutex(State())
    private var hasher = SHA256()
    private var hashed = 0
    private var head: Int64?
    private var hasEnded = false

    /// - Parameters:
    ///   - payload: bytes that travel. The padding between the tensors of a pack does not; it is zero.
    ///   - isGathered: whether its pieces come from several places of the file.
    ///   - staged: what is there of it. A gathered shard is there as a whole, or not at all.
    ///   - group: entered until `finished` has been told.
    init(
        _ shard: ShardPlan.Shard, payload: Int, isGathered: Bool, staged: StagedFile,
        group: DispatchGroup, finished: @escaping Finished
    ) throws {
        self.shard = shard
        self.staged = staged
        self.finished = finished
        let count = try staged.count()
        self.group = group
        let isUsable = count <= shard.bytes && (!isGathered || count == shard.bytes)
        if !isUsable { try staged.truncate(to: 0) }
        have = isUsable ? count : 0
        group.enter()
        state.withLock { [have] state in
            state.next = have
            state.missing = payload
            if isGathered && have < shard.bytes { state.gathered = Buffer(bytes: shard.bytes) }
        }
        if have > 0 { hashing.async { self.hashWhatIsThere() } }
    }

    /// Takes the bytes of a piece.
    func add(_ buffer: Buffer, _ range: Range<Int>, at shardOffset: Int) {
        state.withLock { state in
            if let gathered = state.gathered {
                gathered.room(at: shardOffset, range.count).copyMemory(from: Self.bytes(buffer, range))
                state.missing -= range.count
                if state.missing == 0 {
                    state.gathered = nil
                    take(gathered, 0..<shard.bytes)
                }
                return
            }
            state.early[shardOffset] = (buffer, range)
            while let (buffer, range) = state.early.removeValue(forKey: state.next) {
                state.next += range.count
                take(buffer, range)
            }
        }
    }

    /// Gives up what has not come; what is written stays.
    func abandon(_ error: any Error) {
        state.withLock { $0.early = [:] }
        hashing.async { [self] in writing.async { self.end(.failure(error)) } }
    }

    private func take(_ buffer: Buffer, _ range: Range<Int>) {
        hashing.async { [self] in
            let offset = hashed
            hash(Self.bytes(buffer, range))
            let facts = hashed == shard.bytes ? facts() : nil
            writing.async { [self] in
                do {
                    // After a write that failed, none follows: the size of the file must not say more than is true.
                    try staged?.write(Self.bytes(buffer, range), at: offset)
                    if let facts { try finish(facts) }
                } catch {
                    end(.failure(error))
                }
            }
        }
    }

    private static func bytes(_ buffer: Buffer, _ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: buffer.bytes(range.upperBound)[range.lowerBound...])
    }

    private func hashWhatIsThere() {
        do {
            let buffer = Buffer(bytes: BufferPool.bufferBytes)
            while hashed < have {
                let room = buffer.room(min(buffer.capacity, have - hashed))
                guard let staged, try staged.read(at: hashed, into: room) == room.count else { return }
                hash(UnsafeRawBufferPointer(room))
            }
        } catch {
            return writing.async { self.end(.failure(error)) }
        }
        guard have == shard.bytes else { return }
        let facts = facts()
        writing.async { [self] in
            do {
                try finish(facts)
            } catch {
                end(.failure(error))
            }
        }
    }

    /// The digest of the shard's beginning falls off on the way.
    private func hash(_ bytes: UnsafeRawBufferPointer) {
        let limit = min(ShardFacts.headBytes, shard.bytes)
        var rest = bytes
        if head == nil, hashed + bytes.count >= limit {
            let beginning = UnsafeRawBufferPointer(rebasing: bytes[..<(limit - hashed)])
            hasher.update(bufferPointer: beginning)
            head = ContentDigest(hasher.finalize()).head
            rest = UnsafeRawBufferPointer(rebasing: bytes[beginning.count...])
        }
        hasher.update(bufferPointer: rest)
        hashed += bytes.count
    }

    private func facts() -> ShardFacts {
        ShardFacts(
            digest: ContentDigest(hasher.finalize()), bytes: shard.bytes, kind: ShardKind(shard.kind), layer: shard.layer, head: head!)
    }

    private func finish(_ facts: ShardFacts) throws {
        guard let staged else { return }
        try staged.finish()
        end(.success((facts, staged)))
    }

    private func end(_ result: Result<(facts: ShardFacts, staged: StagedFile), any Error>) {
        guard !hasEnded else { return }
        hasEnded = true
        // Nothing in it to go on from.
        if case .failure = result, let staged, (try? staged.count()) == 0 { unlink(staged.path) }
        staged = nil
        finished(result)
        group.leave()
    }
}
