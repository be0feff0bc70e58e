import Crypto
import Files
import GRDB
import Glibc
import ModelFormats
import Storage
import Support

extension Store {
    /// The files of which selected shards are missing.
    private func wanted(_ selection: FetchSelection, of revision: Int64, prefixes: [ByteText: [UInt8]] = [:]) throws
        -> [FetchFile]
    {
        let pending = try catalog.read { db in try PendingFile.all(of: revision, db) }
        // A content may have two paths, and be selected by either; it is fetched by the first.
        var wanted: [Int64: Set<Int>] = [:]
        for file in pending {
            let selected = selection.shards(path: file.remote.path, file.layout, file.plan)
            wanted[file.id, default: []].formUnion(selected.intersection(file.missing))
        }
        let partials = PartialShards(store: path)
        return try pending.compactMap { file in
            guard let shards = wanted.removeValue(forKey: file.id), !shards.isEmpty else { return nil }
            return FetchFile(
                file.remote, file.layout, file.plan, id: file.id, wanted: shards,
                prefix: try prefixes[ByteText(file.remote.path)] ?? partials.front(of: file.remote.digest?.hex ?? ""))
        }
    }

    /// Fetches the missing shards of a selection, then completes the files and revisions of which no shard is missing.
    ///
    /// - Parameters:
    ///   - onUse: whether something waits for the bytes, to read them.
    ///   - arrived: receives each shard when its bytes have arrived.
    ///   - prefixes: bytes at the front of files that are in memory already, by path.
    /// - Returns: the number of shards that were missing.
    /// - Throws: ``StoreError/quotaFull(quota:stored:requested:evictable:)`` or
    ///   ``FileError/diskFull(path:lacksInodes:)`` before the first byte if there is no room for the bytes.
    @discardableResult
    func fetch(
        _ selection: FetchSelection, of revision: Int64, from origin: any ModelOrigin, onUse: Bool = false,
        arrived: ArrivedShard.Receiver? = nil, prefixes: [ByteText: [UInt8]] = [:], _ work: Work
    ) throws -> Int {
        var fetched = 0
        var isFirst = true
        var prefixes = prefixes
        while true {
            let files = try wanted(selection, of: revision, prefixes: prefixes)
            if isFirst {
                let bytes = files.saturatingSum(\.bytes)
                try checkRoom(for: bytes)
                work.expect(bytes)
                fetched = files.saturatingSum(\.wanted.count)
            }
            isFirst = false
            prefixes = [:]
            var elsewhere: [String] = []
            if !files.isEmpty {
                elsewhere = try FetchRun(self, origin, files, onUse: onUse, arrived: arrived, work) { [self] bytes in
                    try makeRoomForFetch(bytes, work)
                }.run()
            }
            let digests = files.compactMap { file in file.id.flatMap { id in file.hash?.digest.map { (id, $0) } } }
            try complete(revision, hashed: Dictionary(digests) { first, _ in first }, url: origin.url, work)
            guard let other = elsewhere.first else {
                evictInBackground()
                return fetched
            }
            try work.check()
            try PartialShards(store: path).wait(for: other, waits.until(work))
        }
    }

    /// Compares files whose last byte has arrived with their digests, and writes the final manifest of a complete
    /// revision.
    ///
    /// - Parameters:
    ///   - hashed: the digests of files that were hashed while they were fetched.
    ///   - work: cancelling it ends the waits for the write lock.
    func complete(_ revision: Int64, hashed: [Int64: ContentDigest], url: String, _ work: Work) throws {
        let pending = try catalog.read { db in try PendingFile.all(of: revision, db) }
        for file in pending where file.missing.isEmpty {
            guard let digest = file.remote.digest else { continue }
            let found = try hashed[file.id] ?? hash(file)
            guard found == digest else { throw try refuse(file, found, url: url) }
            try catalog.write(work: work) { db in try FileTable.markWhole(file.id, db) }
            try PartialShards(store: path).removeFront(of: digest.hex)
        }
        if pending.allSatisfy(\.missing.isEmpty) { try finish(revision, work) }
    }

    private func hash(_ file: PendingFile) throws -> ContentDigest {
        guard let content = try catalog.read({ db in try FileContent.find(file.id, pendingToo: true, db) }) else {
            throw StorageError.notFound(kind: "file", name: file.remote.name, detail: "It was removed.")
        }
        return try digest(of: content)
    }

    /// The stored content that can stand for a file with a digest, if its bytes were hashed in this store. A content
    /// whose digest is only what a manifest says is hashed now, if all of it is here.
    ///
    /// - Returns: nil if there is none, or its bytes have another digest.
    func hashedContent(_ digest: ContentDigest, _ work: Work) throws -> FileContent? {
        let (hashed, claimed) = try catalog.read { db in
            let hashed = try FileContent.find(digest, hashedOnly: true, db)
            return (hashed, try hashed == nil ? FileContent.find(digest, hashedOnly: false, db) : nil)
        }
        if let hashed { return hashed }
        guard var content = claimed else { return nil }
        let isHere = try catalog.read { db in
            try content.shards.allSatisfy { try ShardTable.isPresent($0.digest, db) }
        }
        guard isHere else { return nil }
        var hasher = SHA256()
        try forEachRun(content, work) { hasher.update(bufferPointer: $0) }
        guard ContentDigest(hasher.finalize()) == digest else { return nil }
        // The row is marked when the revision is saved.
        content.isHashed = true
        return content
    }

    /// The SHA-256 of a file's stored bytes.
    func digest(of content: FileContent) throws -> ContentDigest {
        var hasher = SHA256()
        try forEachRun(content, missWork) { hasher.update(bufferPointer: $0) }
        return ContentDigest(hasher.finalize())
    }

    /// Moves the shards of a file whose digest differs from the published one to `quarantine/`, unless other files hold
    /// them, too.
    private func refuse(_ file: PendingFile, _ found: ContentDigest, url: String) throws -> FetchError {
        try catalog.write { db in
            let shards = try ExtentTable.shards(of: file.id, db)
            try ExtentTable.remove(of: file.id, db)
            for shard in shards where try !ExtentTable.isReferenced(shard, db) {
                guard let digest = try ShardTable.markRefused(shard, db) else { continue }
                try FileSystem.rename(blobs.path(digest), to: "\(path)/quarantine/\(digest)")
                try FileSystem.syncDirectory(blobs.directory(digest))
            }
            try FileSystem.syncDirectory(path + "/quarantine")
        }
        logger.error(
            "\(file.remote.name): SHA-256 is \(found.short), published as \(file.remote.digest?.short ?? "none")")
        return .wrongDigest(
            url: "\(url) \(file.remote.name)", expected: "SHA-256 \(file.remote.digest?.hex ?? "")",
            found: "SHA-256 \(found.hex)")
    }

    /// Writes the final manifest of a revision whose last byte has arrived.
    private func finish(_ revision: Int64, _ work: Work) throws {
        let found = try catalog.read { db in
            try Row.fetchOne(
                db,
                sql: """
                    SELECT model_id, digest, commit_id FROM revision
                    WHERE id = ? AND digest = provisional AND NOT EXISTS (
                      SELECT 1 FROM revision_file JOIN file ON file.id = revision_file.file_id
                      WHERE revision_file.revision_id = revision.id AND file.pending)
                    """, arguments: [revision]
            ).map { row -> (Int64, ContentDigest, String) in
                try (row.value("model_id"), row.value("digest"), row.value("commit_id"))
            }
        }
        guard let (model, provisional, commit) = found else { return }
        let files = try catalog.read { db in
            try Row.mapAll(
                db,
                sql: """
                    SELECT path, file_id FROM revision_file WHERE revision_id = ?
                    """, arguments: [revision]
            ) { row in
                guard let content = try FileContent.find(row.value("file_id") as Int64, db) else {
                    throw StorageError.notFound(kind: "file", name: try row.path("path"), detail: "It was removed.")
                }
                return try Manifest.File(path: row.path("path"), content: content.canonical())
            }
        }
        let change = change(work)
        let staged = try change.stage()
        let digest = try staged.writeWhole(Manifest(commit: commit, files: files).encoded())
        try change.commit { db in
            // The same files may have been imported meanwhile as another revision.
            if try RevisionTable.find(digest, of: model, db) != nil { return ((), []) }
            try blobs.install([(staged, .init(digest: digest, kind: .manifest))])
            try RevisionTable.setFinalDigest(digest, replacing: provisional, of: revision, db)
            return ((), [model])
        }
        try authority.deleteIfAllowed([.init(digest: provisional, kind: .manifest)], .replaced)
    }
}
