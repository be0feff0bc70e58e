import Crypto
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
    private let blob: HubBlob?
    private let run: ImportRun
    private(set) var digest: ContentDigest?
    /// The file's SHA-1, if it is a blob with such a name and was read.
    private var gitDigest: String?
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
    private var olderPlan: ShardPlan?
    private let shards = Mutex<[Int: ShardFacts]>([:])
    /// Shards that were treated as duplicates by their size and head, but whose digest differs.
    private let mistaken = Mutex<[Int]>([])
    /// Shards that were written, and not only hashed.
    private let written = Mutex<Set<Int>>([])
    private let open = DispatchGroup()

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

    /// A file that the store knows, cut by an older rule, or not cut at its tensors.
    private enum KnownCut {
        /// The store holds all of it.
        case stored(FileContent)
        /// Shards of it are damaged, lost or evicted, or its bytes were not hashed here. It is cut in the same way.
        case incomplete(ShardPlan)
    }

    /// Hashes a file that an older rule has probably cut, or an older version has stored without its tensors, so that the
    /// same bytes are not stored twice.
    ///
    /// - Returns: nil if the store does not know the file, or not in this way.
    private func knownCut(
        _ source: FileSource, _ status: FileStatus, _ layout: FileLayout, _ plan: ShardPlan
    ) throws -> KnownCut? {
        let older = olderPlan.map { OlderCut($0, newer: plan, run) { source } }
        guard try run.isProbablyOneShard(source, layout) || older?.isProbablyKnown(layout) == true else { return nil }
        var hasher = SHA256()
        try forEachChunk(0, layout.bytes) { offset, room in
            try run.check()
            try source.read(at: offset, into: room)
            hasher.update(bufferPointer: UnsafeRawBufferPointer(room))
        }
        try source.checkUnchanged()
        let digest = ContentDigest(hasher.finalize())
        guard let content = try run.content(of: digest, as: layout) else {
            guard let older else { return nil }
            let known = try run.catalog.read { db in
                try FileTable.all(digest, for: layout.format, db).first { !$0.isPending }
            }
            return known?.rule == older.plan.rule ? .incomplete(older.plan) : nil
        }
        if isSettled {
            try run.catalog.write(durable: false, work: run.work) { db in
                try SourceTable.setDigest(digest, of: try SourceTable.remember(status, db), db)
            }
        }
        run.skip(status.bytes)
        return .stored(content)
    }

    /// The shards of a file that is unchanged since all of it was read.
    ///
    /// A memo of another plan numbers other shards: it is not used. Nor is the memo of a part: the file is read anyway
    /// for its digest, and hashing all of its shards on the way costs no more than not to.
    ///
    /// - Returns: nil if one of them is not known or not present.
    private func remembered(_ known: SourceMemo, _ plan: ShardPlan) throws -> [Int: ShardFacts]? {
        guard known.plan == plan.digest else { return nil }
        let areUsable = try plan.shards.enumerated().allSatisfy { ordinal, shard in
            guard let facts = known.shards[ordinal], facts.bytes == shard.bytes, facts.kind == ShardKind(shard.kind)
            else { return false }
            return try run.sampler.isIntact(facts)
        }
        guard areUsable, try run.claim(Array(known.shards.values)) else { return nil }
        return known.shards
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

    // MARK: The pass over the file

    private func read(_ source: FileSource, _ plan: ShardPlan) throws {
        var fileHasher = SHA256()
        var gitHasher: GitHasher?
        if case .git = blob { gitHasher = GitHasher(bytes: source.count) }
        let scattered = plan.scatteredShards(run.passLimits)
        var joins: [Int: ShardJoin] = [:]
        let passed = PassedShards()
        /// The memory of shards that are not complete, in bytes.
        var joining = 0
        /// The memory of complete shards that may not be written yet, in bytes.
        var joined = 0
        func read(_ offset: Int, _ room: UnsafeMutableRawBufferPointer) throws {
            try run.check()
            try source.read(at: offset, into: room)
            fileHasher.update(bufferPointer: UnsafeRawBufferPointer(room))
            gitHasher?.update(UnsafeRawBufferPointer(room))
            run.work.advance(room.count)
        }
        do {
            var next = 0
            while next < plan.extents.count {
                if let small = SmallShardRun(plan, from: next) {
                    try readSmall(small, plan, read)
                    next = small.extents.upperBound
                    continue
                }
                let (index, extent) = (next, plan.extents[next])
                let ordinal = extent.shard
                next += 1
                let offset = plan.offset(of: index)
                if plan.extentCount(of: ordinal) == 1 {
                    try readInOnePlace(ordinal, plan.shards[ordinal], offset, extent.length, read)
                } else if scattered.contains(ordinal) {
                    try forEachChunk(offset, extent.length, read)
                } else {
                    var join =
                        joins.removeValue(forKey: ordinal)
                        ?? ShardJoin(plan.shards[ordinal], plan.places(of: ordinal))
                    let needed = join.memoryNeeded(for: extent)
                    if needed > 0, joined > 0, joining + joined + needed > run.gatherBytes {
                        // Complete shards free their memory once they are written.
                        passed.wait()
                        joined = 0
                    }
                    do {
                        try join.add(extent, at: offset, run.pool, read: read) {
                            try stream(ordinal, plan.shards[ordinal]) { passed.end(ordinal) }
                        } willComplete: {
                            passed.add(ordinal)
                        }
                    } catch {
                        join.abandon(error)
                        throw error
                    }
                    joining += needed
                    if join.isComplete {
                        joining -= join.memory
                        joined += join.memory
                    } else {
                        joins[ordinal] = join
                    }
                }
            }
            for ordinal in scattered.sorted() { try readAlone(ordinal, source, plan, trusting: true) }
        } catch {
            for join in joins.values { join.abandon(error) }
            throw error
        }
        digest = ContentDigest(fileHasher.finalize())
        gitDigest = gitHasher?.finish()
    }

    /// Reads a shard that lies in one place.
    private func readInOnePlace(
        _ ordinal: Int, _ shard: ShardPlan.Shard, _ offset: Int, _ length: Int,
        _ read: (Int, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        let stream = try stream(ordinal, shard)
        do {
            try forEachChunk(offset, length, read) { buffer, count in stream.append(buffer, 0..<count) }
        } catch {
            stream.abandon(error)
            throw error
        }
    }

    /// Reads small shards, and hashes and writes each on this thread: to pass one to the queues of a `ShardPipeline`
    /// costs more than to hash it.
    private func readSmall(
        _ small: SmallShardRun, _ plan: ShardPlan, _ read: (Int, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        let buffer = run.pool.acquire()
        try read(small.offset, buffer.writableBytes(small.bytes))
        var offset = 0
        for extent in plan.extents[small.extents] {
            let bytes = UnsafeRawBufferPointer(buffer.writableBytes(at: offset, extent.length))
            try run.beginShard()
            open.enter()
            end(extent.shard, Result { try writeSmall(plan.shards[extent.shard], bytes) })
            offset += extent.length
        }
    }

    /// Writes a shard, unless the store seems to hold it.
    private func writeSmall(
        _ shard: ShardPlan.Shard, _ bytes: UnsafeRawBufferPointer
    ) throws -> (facts: ShardFacts, staged: StagedFile?) {
        let digest = ContentDigest(of: bytes)
        // All bytes of a small shard are its head.
        let facts = ShardFacts(
            digest: digest, bytes: bytes.count, kind: ShardKind(shard.kind), layer: shard.layer, head: digest.head)
        if try run.holds(bytes: facts.bytes, head: facts.head) { return (facts, nil) }
        let staged = try run.stage()
        try staged.write(bytes, at: 0)
        try staged.seal()
        return (facts, staged)
    }

    /// Reads the bytes of one shard in a pass of its own.
    ///
    /// - Parameter trusting: whether a shard with the size and head of a stored one is only hashed and compared.
    private func readAlone(_ ordinal: Int, _ source: FileSource, _ plan: ShardPlan, trusting: Bool) throws {
        let shard = plan.shards[ordinal]
        let stream = try stream(ordinal, shard, trusting: trusting)
        do {
            let pieces = plan.places(of: ordinal).map { place in
                (file: place.offset, shard: place.extent.shardOffset, length: place.extent.length)
            }
            var next = 0
            var done = 0
            while done < shard.bytes {
                let buffer = run.pool.acquire()
                let count = min(buffer.capacity, shard.bytes - done)
                buffer.writableBytes(count).initializeMemory(as: UInt8.self, repeating: 0)
                var index = next
                while index < pieces.count, pieces[index].shard < done + count {
                    let piece = pieces[index]
                    let begin = max(piece.shard, done)
                    let end = min(piece.shard + piece.length, done + count)
                    try source.read(
                        at: piece.file + begin - piece.shard, into: buffer.writableBytes(at: begin - done, end - begin))
                    if end == piece.shard + piece.length { next = index + 1 }
                    index += 1
                }
                try run.check()
                stream.append(buffer, 0..<count)
                done += count
            }
        } catch {
            stream.abandon(error)
            throw error
        }
    }

    private func forEachChunk(
        _ offset: Int, _ length: Int, _ read: (Int, UnsafeMutableRawBufferPointer) throws -> Void,
        _ body: (Buffer, Int) -> Void = { _, _ in }
    ) throws {
        var done = 0
        while done < length {
            let buffer = run.pool.acquire()
            let count = min(buffer.capacity, length - done)
            try read(offset + done, buffer.writableBytes(count))
            body(buffer, count)
            done += count
        }
    }

    private func stream(
        _ ordinal: Int, _ shard: ShardPlan.Shard, trusting: Bool = true, then: @escaping @Sendable () -> Void = {}
    ) throws -> ShardPipeline {
        try run.beginShard()
        open.enter()
        return ShardPipeline(shard, ShardWriter(bytes: shard.bytes)) { [run] head in
            let isKnown = try trusting && run.holds(bytes: shard.bytes, head: head)
            return isKnown ? nil : try run.stage()
        } finished: { [self] result in
            end(ordinal, result, then: then)
        }
    }

    /// Passes a shard that was begun to the committer, or ends the run if it has failed.
    private func end(
        _ ordinal: Int, _ result: Result<(facts: ShardFacts, staged: StagedFile?), any Error>, then: () -> Void = {}
    ) {
        switch result {
        case .success(let (facts, staged)):
            run.committer.add(.init(file: self, ordinal: ordinal, facts: facts, staged: staged))
        case .failure(let error):
            run.endShard()
            run.fail(error)
        }
        then()
        open.leave()
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
