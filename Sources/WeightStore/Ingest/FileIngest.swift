import Dispatch
import Files
import GRDB
import ModelFormats
import Storage
import Support
import Synchronization

/// The import of one file.
///
/// The file is read once, front to back: it is hashed for its own SHA-256, and cut into shards by its plan. A shard
/// with one extent streams through the buffers of the pool, or is written at once if it is small (`SmallShardRun`); one
/// with several is put together by a `ShardJoin`. Shards that need more memory than allowed
/// (`ShardPlan.scatteredShards`) are read a second time, after the pass.
///
/// Sendable because one lane runs it, and state shared with other threads is behind a mutex.
final class FileIngest: @unchecked Sendable {
    let path: String
    /// The file as a blob of a Hugging Face cache; nil if it is none.
    let blob: HubBlob?
    let run: ImportRun
    var digest: ContentDigest?
    /// The file's SHA-1, if it is a blob with such a name and was read.
    var gitDigest: String?
    /// The file's state when it was opened to be read.
    private(set) var status: FileStatus?
    /// Whether a change after the read would have changed the times of the file, too.
    private(set) var isSettled = false
    /// The file's identity and the digest of its plan, for `SourceTable`; nil if the file is not settled.
    private var memo: (status: FileStatus, plan: ContentDigest)?

    /// What is unusual about the file.
    private(set) var warnings: [FormatError] = []
    private var layout: FileLayout?
    private var plan: ShardPlan?
    /// The plan by the first rule, if it divides the file in another way than the newest one.
    var olderPlan: ShardPlan?
    private let shards = Mutex<[Int: ShardFacts]>([:])
    /// Shards that were treated as duplicates by their size and head, but whose digest differs.
    private let mistaken = Mutex<[Int]>([])
    /// Shards that were written, and not only hashed.
    private let written = Mutex<Set<Int>>([])
    let open = DispatchGroup()

    /// Nanoseconds, well above the tick of the clock that sets file times (a few milliseconds).
    static let clockTick: Int64 = 100_000_000

    init(_ path: String, blob: HubBlob? = nil, run: ImportRun) {
        self.path = path
        self.blob = blob
        self.run = run
    }

    /// Reads the file and hands its shards to the committer; `settle` returns the content.
    ///
    /// - Parameter trusting: whether an unchanged file that the catalog remembers is not read again.
    /// - Returns: the content, if the store holds this file already; otherwise nil.
    func start(trusting: Bool) throws -> FileContent? {
        let source = try FileSource(path)
        let status = source.status
        self.status = status
        isSettled = status.isOlder(than: Self.clockTick, at: StoreClock.nanoseconds)
        let layout = try FileLayout.read(source, path: path, rules: run.rules)
        warnings = layout.warnings
        let known = try trusting ? run.catalog.read { db in try SourceTable.find(status, db) } : nil
        if let digest = known?.digest, let content = try run.content(of: digest, as: layout) {
            run.skip(status.bytes)
            return content
        }
        let plans = ShardPlan.plans(layout)
        var plan = plans.newest
        self.layout = layout
        self.plan = plan
        olderPlan = plans.older
        memo = isSettled ? (status, plan.digest) : nil
        if let known, let digest = known.digest, let safe = try remembered(known, plan) {
            shards.withLock { $0 = safe }
            self.digest = digest
            run.skip(status.bytes)
            return nil
        }
        switch try knownCut(source, status, layout, plan) {
        case .stored(let content): return content
        case .incomplete(let older):
            plan = older
            self.plan = plan
            olderPlan = nil
            memo = isSettled ? (status, plan.digest) : nil
        case nil: break
        }
        try read(source, plan)
        try source.checkUnchanged()
        open.notify(queue: .global()) { [self] in run.committer.add(complete: self) }
        return nil
    }

    /// Waits until every shard is durable, and reads again the shards that were mistaken for duplicates.
    func settle() throws -> FileContent {
        guard let layout, let plan, let digest else { fatalError("settle before start") }
        open.wait()
        run.committer.flush()
        try run.check()
        let again = mistaken.withLock { ordinals in
            defer { ordinals = [] }
            return ordinals
        }
        if !again.isEmpty {
            let source = try FileSource(path)
            for ordinal in again { try readAlone(ordinal, source, plan, trusting: false) }
            try source.checkUnchanged()
            open.wait()
            run.committer.flush()
            try run.check()
        }
        // The store may know the bytes of this new file; those that an older rule has cut stay as they are.
        if let content = try run.content(of: digest, as: layout) { return content }
        let facts = shards.withLock { $0 }
        // The digest stands for these bytes and no others.
        guard plan.extents.reduce(0, { $0 + $1.length }) == layout.bytes else {
            throw StoreError.sourceChanged(path: path)
        }
        let written = written.withLock { $0 }
        if !written.isEmpty, let olderPlan {
            let older = OlderCut(olderPlan, newer: plan, run) { [path] in try FileSource(path) }
            run.storedAgain(try older.bytesStored(in: written))
        }
        return FileContent(
            digest: digest, bytes: layout.bytes, format: layout.format,
            shards: try plan.shards.indices.map { ordinal in
                guard let facts = facts[ordinal], facts.bytes == plan.shards[ordinal].bytes else {
                    throw StoreError.sourceChanged(path: path)
                }
                return facts
            },
            extents: plan.extents, tensors: layout.tensors, rule: plan.rule, isHashed: true
        ).canonical()
    }

    /// Waits until no shard of the file is in flight.
    func drain() { open.wait() }

    /// Requires that the bytes of a blob of a Hugging Face cache have the digest in its name. Call it when the file was
    /// read, or is known.
    ///
    /// - Parameter digest: the SHA-256 of the file.
    /// - Throws: ``StoreError/blobDiffers(path:found:)``
    func requireName(_ digest: ContentDigest) throws {
        switch blob {
        case nil: return
        case .sha256(let name):
            if name != digest { throw StoreError.blobDiffers(path: path, found: "SHA-256 \(digest)") }
        case .git(let name):
            let found = try gitDigest ?? readGitDigest()
            if found != name { throw StoreError.blobDiffers(path: path, found: "git's SHA-1 \(found)") }
        }
    }

    /// The SHA-1 of a file that was not read because the store knows it. Files with such names are small.
    private func readGitDigest() throws -> String {
        let source = try FileSource(path)
        guard source.status == status else { throw StoreError.sourceChanged(path: path) }
        var hasher = GitHasher(bytes: source.count)
        try forEachChunk(0, source.count) { offset, room in
            try run.check()
            try source.read(at: offset, into: room)
            hasher.update(UnsafeRawBufferPointer(room))
        }
        try source.checkUnchanged()
        return hasher.finish()
    }
}

extension FileIngest: CommittedFile {
    /// Claims the shards until the revision is saved, and records them for the source file, so that the next run after
    /// an interrupted import does not read them again.
    func reference(_ shards: [(ordinal: Int, shard: Int64)], isComplete: Bool, lease: String, _ db: Database) throws {
        try ClaimTable.claim(shards.lazy.map(\.shard), lease: lease, db)
        guard let memo else { return }
        let source = try SourceTable.remember(memo.status, plan: memo.plan, db)
        try SourceTable.remember(shards, of: source, db)
        if isComplete { try SourceTable.setDigest(digest, of: source, db) }
    }

    func committed(_ ordinal: Int, _ facts: ShardFacts, wasWritten: Bool, isSafe: Bool) {
        run.endShard()
        if isSafe {
            shards.withLock { $0[ordinal] = facts }
            if wasWritten {
                written.withLock { _ = $0.insert(ordinal) }
                run.wrote(facts)
            }
        } else {
            mistaken.withLock { $0.append(ordinal) }
        }
    }
}
