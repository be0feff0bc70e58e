import Crypto
import Dispatch
import GRDB
import Glibc
import Synchronization

/// Which shards to verify, and how fast.
public struct VerifyRule: Sendable {
    /// Only what this revision holds (as in ``Store/revision(_:)``); nil means the whole store.
    public var revision: String?
    /// Only shards that were not verified for this many seconds.
    public var olderThanSeconds: Int?
    /// Only this share of them, 0 to 1, by bytes: those whose last verification is longest ago.
    public var sample: Double?
    /// Bytes per second to read at most.
    public var bytesPerSecond: Int?

    public init() {}
}

/// What a verification found.
public struct VerifySummary: Sendable, Codable {
    public struct Damage: Sendable, Codable {
        public let digest: Digest
        /// `damaged` or `missing`.
        public let problem: String
        public let detail: String
        /// The revisions that hold it.
        public let revisions: [String]
    }

    public internal(set) var shards = 0
    /// Bytes read.
    public internal(set) var bytes = 0
    public internal(set) var damage: [Damage] = []
    /// KV blocks that were damaged or missing, and what built on them: dropped, for they can be computed again.
    public internal(set) var kvDropped = 0
    /// Shards that were known to be damaged or missing before.
    public internal(set) var known: [Damage] = []
}

extension Store {
    /// Reads shards from the disk again, past the page cache, and compares them with their digests. A shard that
    /// differs is moved to `quarantine/`; importing the same content again heals it. A KV block that differs is dropped.
    ///
    /// - Parameter progress: is told the bytes to read and those read so far, and returns false to stop.
    /// - Throws: ``StoreError/cancelled`` if told to stop.
    @discardableResult
    public func verify(
        _ rule: VerifyRule = VerifyRule(), progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Bool = { _, _ in true }
    ) throws -> VerifySummary {
        let shards = try shardsToVerify(rule)
        let work = Verifying(shards, bytesPerSecond: rule.bytesPerSecond, progress: progress)
        DispatchQueue.concurrentPerform(iterations: rule.bytesPerSecond == nil ? cores : 1) { _ in
            self.lane(work)
        }
        let (found, rest, failure) = work.end()
        try markVerified(rest)
        if let failure { throw failure }
        var summary = found
        summary.known = try knownDamage(but: Set(found.damage.map(\.digest)))
        return summary
    }

    /// Verifies until no shard is left, or something has failed.
    private func lane(_ work: Verifying) {
        let buffer = Buffer(bytes: BufferPool.bufferBytes)
        while let shard = work.next() {
            do {
                let damage = try verify(shard, buffer, work)
                try markVerified(work.verified(shard, damage))
            } catch {
                work.fail(error)
            }
        }
    }

    private func shardsToVerify(_ rule: VerifyRule) throws -> [ShardToVerify] {
        let rows = try catalog.read { db in
            let revision = try rule.revision.map { try RevisionRow.find($0, db).id }
            var sql = "SELECT id, digest, bytes, kind FROM shard WHERE state = 'present' AND (? IS NULL OR verified_at < ?)"
            let before = rule.olderThanSeconds.map { Clock.now - $0 }
            var arguments: StatementArguments = [before, before]
            if let revision {
                sql += """
                     AND id IN (
                      SELECT extent.shard_id
                      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
                      WHERE revision_file.revision_id = ?)
                    """
                arguments += [revision]
            }
            return try Row.fetchAll(db, sql: sql + " ORDER BY verified_at, id", arguments: arguments)
        }
        var shards = rows.map { ShardToVerify(id: $0[0], digest: $0[1], bytes: $0[2], kind: ShardKind(rawValue: $0[3])!) }
        if let sample = rule.sample {
            var rest = Double(shards.reduce(0) { $0 + $1.bytes }) * min(max(sample, 0), 1)
            let count = shards.prefix { shard in
                defer { rest -= Double(shard.bytes) }
                return rest > 0
            }.count
            shards.removeLast(shards.count - count)
        }
        return shards
    }

    private func verify(_ shard: ShardToVerify, _ buffer: Buffer, _ work: Verifying) throws
        -> VerifySummary.Damage?
    {
        let path = blobs.path(shard.digest)
        guard let file = try FileDescriptor.openIfThere(path) else {
            return try setAside(shard, .missing, detail: "its file is not there", work)
        }
        // What is on the disk counts, not what is in memory. Where O_DIRECT isn't to be had, memory must do.
        _ = file.setDirect(true)
        var hasher = SHA256()
        var offset = 0
        while true {
            let count = try file.readOnce(at: offset, into: buffer.room(buffer.capacity))
            hasher.update(bufferPointer: buffer.bytes(count))
            offset += count
            try work.read(count)
            if count < buffer.capacity { break }
        }
        let found = Digest(hasher.finalize())
        if found == shard.digest { return nil }
        let detail = offset == shard.bytes ? "SHA-256 is \(found.short)" : "\(offset) bytes, expected \(shard.bytes)"
        return try setAside(shard, .quarantined, detail: detail, work)
    }

    /// Takes a bad blob out of the way, unless it has been removed in the meantime.
    private func setAside(_ shard: ShardToVerify, _ state: ShardState, detail: String, _ work: Verifying) throws
        -> VerifySummary.Damage?
    {
        if shard.kind == .kv {
            logger.warning("KV block \(shard.digest.short): \(detail); dropped")
            work.dropped(try dropKVBlock(shard.digest))
            return nil
        }
        let revisions: [String]? = try catalog.write { db in
            guard let row = try ShardRow.find(shard.digest, db), row.state == .present else { return nil }
            let path = blobs.path(shard.digest)
            if state == .missing && FileSystem.exists(path) { return nil }
            try ShardRow.setState(state, of: shard.digest, db)
            if state == .quarantined {
                try FileSystem.rename(path, to: "\(self.path)/quarantine/\(shard.digest)")
                try FileSystem.syncDirectory(self.path + "/quarantine")
                try FileSystem.syncDirectory(blobs.directory(shard.digest))
            }
            return try Self.revisions(holding: row.id, db)
        }
        guard let revisions else { return nil }
        logger.error("shard \(shard.digest.short): \(detail); hit: \(revisions.joined(separator: ", "))")
        return VerifySummary.Damage(
            digest: shard.digest, problem: state == .missing ? "missing" : "damaged", detail: detail,
            revisions: revisions)
    }

    private func markVerified(_ shards: [Int64]) throws {
        if shards.isEmpty { return }
        try catalog.write(durable: false) { db in
            let mark = try db.cachedStatement(sql: "UPDATE shard SET verified_at = ? WHERE id = ?")
            for shard in shards { try mark.execute(arguments: [Clock.now, shard]) }
        }
    }

    private func knownDamage(but found: Set<Digest>) throws -> [VerifySummary.Damage] {
        try catalog.read { db in
            try Row.fetchAll(
                db, sql: "SELECT id, digest, state FROM shard WHERE state IN ('quarantined', 'missing')"
            ).compactMap { row in
                let digest: Digest = row[1]
                guard !found.contains(digest) else { return nil }
                return VerifySummary.Damage(
                    digest: digest, problem: row[2] == ShardState.missing.rawValue ? "missing" : "damaged",
                    detail: "found before", revisions: try Self.revisions(holding: row[0], db))
            }
        }
    }
}

private struct ShardToVerify: Sendable {
    let id: Int64
    let digest: Digest
    let bytes: Int
    let kind: ShardKind
}

/// The state that the threads of one verification share.
private final class Verifying: Sendable {
    private struct State {
        var next = 0
        var done = 0
        var summary = VerifySummary()
        /// Shards found whole, and not yet marked so in the catalog.
        var verified: [Int64] = []
        var failure: (any Error)?
    }

    private static let batch = 1024

    private let total: Int
    private let shards: [ShardToVerify]
    private let bytesPerSecond: Int?
    private let progress: @Sendable (_ done: Int, _ total: Int) -> Bool
    private let start = ContinuousClock.now
    private let state = Mutex(State())

    init(
        _ shards: [ShardToVerify], bytesPerSecond: Int?, progress: @escaping @Sendable (Int, Int) -> Bool
    ) {
        self.progress = progress
        self.shards = shards
        self.bytesPerSecond = bytesPerSecond
        total = shards.reduce(0) { $0 + $1.bytes }
    }

    func next() -> ShardToVerify? {
        state.withLock { state in
            guard state.next < shards.count, state.failure == nil else { return nil }
            defer { state.next += 1 }
            return shards[state.next]
        }
    }

    /// Counts bytes that were read, and waits until they are due.
    func read(_ bytes: Int) throws(StoreError) {
        let done = state.withLock { state in
            state.done += bytes
            return state.done
        }
        guard progress(done, total) else { throw .cancelled }
        guard let bytesPerSecond else { return }
        let early = start + .seconds(Double(done) / Double(max(bytesPerSecond, 1))) - .now
        if early > .zero { usleep(UInt32(min(early / .microseconds(1), 1e9))) }
    }

    /// - Returns: shards to mark as verified: none, until there is a batch of them.
    func verified(_ shard: ShardToVerify, _ damage: VerifySummary.Damage?) -> [Int64] {
        state.withLock { state in
            state.summary.shards += 1
            if damage?.problem != "missing" { state.summary.bytes += shard.bytes }
            guard damage == nil else {
                state.summary.damage.append(damage!)
                return []
            }
            state.verified.append(shard.id)
            guard state.verified.count >= Self.batch else { return [] }
            defer { state.verified = [] }
            return state.verified
        }
    }

    func dropped(_ blocks: Int) { state.withLock { $0.summary.kvDropped += blocks } }

    func fail(_ error: any Error) {
        state.withLock { if $0.failure == nil { $0.failure = error } }
    }

    func end() -> (summary: VerifySummary, verified: [Int64], failure: (any Error)?) {
        state.withLock { ($0.summary, $0.verified, $0.failure) }
    }
}
