import Crypto
import Dispatch
import GRDB
import ModelFormats
import Storage
import Support
import Synchronization

/// The steps of one pull from a hub.
struct Pull: OriginPull {
    let store: Store
    let request: PullRequest
    let origin: any ModelOrigin
    let url: String
    let work: Work
    let budget = HeaderBudget()
    /// Bytes that the work had counted before this pull.
    private let fetchedBefore: Int

    init(store: Store, request: PullRequest, origin: any ModelOrigin, url: String, work: Work) {
        self.store = store
        self.request = request
        self.origin = origin
        self.url = url
        self.work = work
        fetchedBefore = work.progress.done
    }

    func run() throws -> PullSummary {
        let remote = try listing()
        let known = try store.catalog.read { db in try Self.known(remote, db) }
        let ref = CommitName.isValid(request.revision) ? [] : [try RefName.check(request.revision)]
        var prefixes: [ByteText: [UInt8]] = [:]
        var warnings: [FileWarning] = []
        var moved: [String: String] = [:]
        let revision: Int64
        if let known {
            revision = known
        } else {
            let (files, headers, unusual) = try describe(remote.files)
            // A pull that is refused leaves no revision, and moves no ref.
            try request.selection.check(
                TensorNumbers(files), paths: files.map(\.path), of: "\(request.model)@\(request.revision)")
            (prefixes, warnings) = (headers, unusual)
            let saved = try save(Manifest(commit: remote.commit, files: files), of: remote, ref)
            (revision, moved) = (saved.revision, saved.movedRefs)
        }
        if !request.selection.isEverything {
            for file in remote.files {
                guard let digest = file.digest, let prefix = prefixes[ByteText(file.path)], !prefix.isEmpty else {
                    continue
                }
                try PartialShards(store: store.path).keep(front: prefix, of: digest.hex, staged: store.change().stage())
            }
        }
        // Held, so that a removal is refused, and an eviction leaves its shards, until the pull has ended.
        let digest = try store.catalog.read { db in try RevisionTable.initialDigest(of: revision, db) }
        let held = try digest.map { try store.heldRevision("\(request.model)@\($0.hex)") }
        defer { withExtendedLifetime(held) {} }
        if known != nil {
            try held?.check(request.selection)
            moved = try store.change(work).commit { db in
                let named = try name(revision, ref, db)
                return (named.movedRefs, [named.model])
            }
        }
        try store.fetch(request.selection, of: revision, from: origin, prefixes: prefixes, work)
        var summary = try summary(revision, remote)
        summary.warnings = warnings
        summary.movedRefs = moved
        return summary
    }

    /// The listing of the revision, checked.
    func listing() throws -> RemoteRevision {
        let remote = try store.listing(of: request.model, at: request.revision, from: origin, url, work)
        guard CommitName.isValid(remote.commit) else {
            throw FetchError.malformed(url: url, expected: "a commit of 40 hexadecimal digits", found: remote.commit)
        }
        try RemotePath.check(remote.files, url: url)
        return remote
    }

    var rules: ReadingRules { ReadingRules(keepsOpaque: request.opaque) }

    /// The revision, if it was pulled or imported before.
    static func known(_ remote: RemoteRevision, _ db: Database) throws -> Int64? {
        let ids = try Int64.fetchAll(
            db,
            sql: """
                SELECT revision.id FROM revision JOIN model ON model.id = revision.model_id
                WHERE model.name = ? AND revision.commit_id = ? AND revision.version IS NOT NULL
                ORDER BY revision.version
                """, arguments: [remote.model, remote.commit])
        // A Hugging Face cache that was imported may hold fewer files than the hub lists.
        return try ids.first { id in
            Set(try RevisionTable.paths(of: id, db).map { ByteText($0) }) == Set(remote.files.map { ByteText($0.path) })
        }
    }

    /// A file as the revision describes it.
    private struct Described {
        var content: FileContent
        /// The bytes at its front that were fetched.
        var prefix: [UInt8] = []
        var warnings: [FormatError] = []
    }

    /// The contents of the files, for the manifest: complete for files that the store holds, otherwise pending. Files
    /// without a published digest, which are small, are fetched whole.
    private func describe(
        _ files: [RemoteFile]
    ) throws -> (files: [Manifest.File], prefixes: [ByteText: [UInt8]], warnings: [FileWarning]) {
        let described = Mutex<[ByteText: Described]>([:])
        var whole: [RemoteFile] = []
        // A content may have several paths; its header is fetched once.
        var headers: [ContentDigest: [RemoteFile]] = [:]
        for file in files {
            if let digest = file.digest {
                if let known = try describeKnown(file, digest) {
                    described.withLock { $0[ByteText(file.path)] = known }
                } else {
                    headers[digest, default: []].append(file)
                }
            } else {
                whole.append(file)
            }
        }
        let (origin, work, rules, budget) = (origin, work, rules, budget)
        try ParallelWork.run(headers.map { (digest: $0.key, files: $0.value) }) { (digest, files) in
            guard let file = files.first else { return }
            let source = RemoteSource(file, origin, work, budget)
            let layout = try FileLayout.read(source, path: file.path, rules: rules)
            let content = FileContent(
                digest: digest, bytes: file.bytes, format: layout.format, shards: [], extents: [],
                tensors: layout.tensors, rule: ShardPlan(layout).rule, isPending: true)
            let result = Described(content: content, prefix: budget.keep(source.prefix), warnings: layout.warnings)
            described.withLock { described in
                for file in files { described[ByteText(file.path)] = result }
            }
        }
        for (path, file) in try fetchWhole(whole) { described.withLock { $0[path] = file } }
        let result = described.withLock { $0 }.sorted { $0.key < $1.key }
        return (
            result.map { .init(path: $0.key.text, content: $0.value.content) },
            Dictionary(uniqueKeysWithValues: result.map { ($0.key, $0.value.prefix) }),
            result.flatMap { file in file.value.warnings.map { FileWarning(path: file.key.text, $0) } }
        )
    }

    /// A file that the store holds, or has begun to fetch. One that it holds without tensors gets those that its bytes
    /// have: an older version read them only if the name of the file had the extension.
    private func describeKnown(_ file: RemoteFile, _ digest: ContentDigest) throws -> Described? {
        guard let content = try store.hashedContent(digest, work) else {
            let begun = try store.catalog.read { db in try FileContent.findPending(digest, db) }
            return begun.map { Described(content: $0) }
        }
        let isHere = try store.catalog.read { db in
            try content.shards.allSatisfy { try ShardTable.isPresent($0.digest, db) }
        }
        guard content.format == .other, isHere else { return Described(content: content) }
        let layout = try store.layout(of: content, path: file.path, rules: rules, work)
        guard layout.format != .other, let corrected = content.described(by: layout) else {
            return Described(content: content, warnings: layout.warnings)
        }
        return Described(content: corrected, warnings: layout.warnings)
    }

    /// Fetches files without a published SHA-256, and checks their git object id.
    private func fetchWhole(_ files: [RemoteFile]) throws -> [ByteText: Described] {
        var contents: [ByteText: Described] = [:]
        let (origin, work, rules, budget) = (origin, work, rules, budget)
        let fetches = Mutex<[FetchFile]>([])
        try ParallelWork.run(files) { file in
            let source = RemoteSource(file, origin, work, budget)
            let layout = try FileLayout.read(source, path: file.path, rules: rules)
            let plan = ShardPlan(layout)
            fetches.withLock {
                $0.append(
                    FetchFile(
                        file, layout, plan, id: nil, wanted: Set(plan.shards.indices),
                        prefix: budget.keep(source.prefix)))
            }
        }
        var rest = fetches.withLock { $0 }
        let bytes = rest.saturatingSum(\.bytes)
        try store.checkRoom(for: bytes)
        work.expect(bytes)
        while !rest.isEmpty {
            let locked = try FetchRun(store, origin, rest, work) { [store, work] bytes in
                try store.makeRoomForFetch(bytes, work)
            }.run()
            try rest.removeAll { file in
                guard file.plan.shards.indices.allSatisfy(file.has) else { return false }
                contents[ByteText(file.remote.path)] = Described(
                    content: try checked(file), warnings: file.layout.warnings)
                return true
            }
            // Another fetch has begun these files: try again until it is done.
            rest = rest.map { FetchFile($0.remote, $0.layout, $0.plan, id: nil, wanted: $0.wanted) }
            if rest.isEmpty { break }
            try work.check()
            if let other = locked.first {
                try PartialShards(store: store.path).wait(for: other, store.waits.until(work))
            }
        }
        return contents
    }

    private func checked(_ file: FetchFile) throws -> FileContent {
        guard var content = file.content(ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))) else {
            throw FetchError.noOrigin(name: file.remote.name)
        }
        var hasher = SHA256()
        var git = GitHasher(bytes: content.bytes)
        try store.forEachRun(content, work) {
            hasher.update(bufferPointer: $0)
            git.update($0)
        }
        content.digest = ContentDigest(hasher.finalize())
        content.isHashed = true
        let found = git.finish()
        if let expected = file.remote.gitObject, expected != found {
            throw FetchError.wrongDigest(
                url: "\(url) \(file.remote.name)", expected: "git object \(expected)", found: "git object \(found)")
        }
        return content
    }

    private func save(
        _ manifest: Manifest, of remote: RemoteRevision, _ refs: [String]
    ) throws -> (revision: Int64, movedRefs: [String: String]) {
        let change = store.change(work)
        let staged = try change.stage()
        let digest = try staged.writeWhole(manifest.encoded())
        return try change.commit { db in
            // Another pull of the commit may have added the revision since, and even have fetched its last byte: then its
            // digest is not the one of this manifest.
            if let known = try Self.known(remote, db) {
                let named = try name(known, refs, db)
                try ClaimTable.release(store.leases.name, db)
                return ((revision: known, movedRefs: named.movedRefs), [named.model])
            }
            try store.blobs.install([(staged, .init(digest: digest, kind: .manifest))])
            let before = try refTargets(db)
            let saved = try RevisionRow.save(
                manifest, digest: digest, model: request.model, source: url, refs: refs,
                origins: [url], partial: false, lease: store.leases.name, db)
            let after = try refTargets(db)
            return (
                (revision: saved.id, movedRefs: before.filter { after[$0.key] != $0.value }), [saved.model]
            )
        }
    }

    /// The names of the revisions that the model's refs name; empty for an unknown model.
    private func refTargets(_ db: Database) throws -> [String: String] {
        try ModelTable.find(request.model, db).map { try RefTable.revisions(of: $0, db) } ?? [:]
    }

    /// Sets the ref to a revision that the store holds already.
    ///
    /// - Returns: the refs that named another revision, with the name of that revision, and the model.
    private func name(
        _ revision: Int64, _ refs: [String], _ db: Database
    ) throws -> (movedRefs: [String: String], model: Int64) {
        guard let model = try RevisionTable.model(of: revision, db) else {
            throw StorageError.notFound(kind: "revision", name: request.model, detail: "It was removed.")
        }
        let before = try refTargets(db)
        for ref in refs { try RefTable.move(ref, of: model, to: revision, db) }
        try OriginTable.append(url, to: revision, checkedAt: StoreClock.now, db)
        let after = try refTargets(db)
        return (before.filter { after[$0.key] != $0.value }, model)
    }

    private func summary(_ revision: Int64, _ remote: RemoteRevision) throws -> PullSummary {
        try store.catalog.read { db in
            let row = try Row.fetchOne(
                db, sql: "SELECT version, digest, file_count, bytes FROM revision WHERE id = ?", arguments: [revision])
            guard let row else {
                throw StorageError.notFound(kind: "revision", name: request.model, detail: "It was removed.")
            }
            return try PullSummary(
                model: remote.model, version: row.value("version"), digest: row.value("digest"), commit: remote.commit,
                origin: url,
                files: row.value("file_count"), bytes: row.size("bytes"), fetched: work.progress.done - fetchedBefore,
                complete: !RevisionTable.isPending(revision, db))
        }
    }
}

/// Checks paths of a hub's files: a path must stay inside of the directory that it is exported to.
enum RemotePath {
    static func check(_ path: String, url: String) throws(FetchError) {
        guard RelativePath.isValid(path) else {
            throw .malformed(url: url, expected: "a relative path without \"..\", below 4096 bytes", found: path)
        }
    }

    /// Checks a listing: its paths, that each is listed once, and its sizes.
    static func check(_ files: [RemoteFile], url: String) throws(FetchError) {
        var paths: Set<ByteText> = []
        var bytes = 0
        for file in files {
            try check(file.path, url: url)
            guard paths.insert(ByteText(file.path)).inserted else {
                throw .malformed(url: url, expected: "each path once", found: "\(file.path) twice")
            }
            bytes = bytes.adding(saturating: file.bytes)
            guard file.bytes >= 0, bytes <= Manifest.maximumFileBytes else {
                throw .malformed(
                    url: url, expected: "sizes of 0 or more, together at most \(Manifest.maximumFileBytes) bytes",
                    found: "\(file.bytes) bytes of \(file.path)")
            }
        }
    }
}
