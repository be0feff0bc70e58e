import GRDB
import ModelFormats
import Storage
import Support

/// The steps of a pull from an origin that holds manifests and shards under their digests.
///
/// The manifest names every shard, so all rows are made at once: absent shards have the same state as evicted ones, and
/// are fetched in the same way (`Store.refetch(group:)`), each checked by its own digest.
struct ManifestPull: OriginPull {
    let store: Store
    let request: PullRequest
    let origin: any ManifestOrigin
    let url: String
    let work: Work
    /// Bytes that the work had counted before this pull.
    private let fetchedBefore: Int

    init(store: Store, request: PullRequest, origin: any ManifestOrigin, url: String, work: Work) {
        self.store = store
        self.request = request
        self.origin = origin
        self.url = url
        self.work = work
        fetchedBefore = work.progress.done
    }

    func run() throws -> PullSummary {
        let (digest, shards) = try manifest()
        try save(shards)
        try fetchShards(shards.manifest)
        return try summary(digest, shards.manifest)
    }

    /// The manifest of the revision.
    ///
    /// - Throws: also if the revision lacks what the request selects: a pull that is refused leaves no revision.
    func manifest() throws -> (digest: ContentDigest, shards: RevisionShards) {
        guard let digest = ContentDigest(hex: request.revision) else {
            throw FetchError.unusable(
                url: url,
                reason:
                    "this origin finds revisions only by digest; give \(request.model)@<64 hexadecimal digits>")
        }
        let shards = try RevisionShards(try origin.manifest(digest, work), digest: digest, origin: url)
        try request.selection.check(
            TensorNumbers(shards.manifest.files), paths: shards.manifest.files.map(\.path),
            of: "\(request.model)@\(digest.short)")
        return (digest, shards)
    }

    /// The selected shards, and their sizes.
    func wantedShards(_ manifest: Manifest) -> [ContentDigest: Int] {
        var wanted: [ContentDigest: Int] = [:]
        for file in manifest.files {
            for shard in request.selection.shards(of: file) { wanted[shard.digest] = shard.bytes }
        }
        return wanted
    }

    private func save(_ shards: RevisionShards) throws {
        // The first revision of a model gets the ref `main`.
        let refs = try store.refs(of: request.model).isEmpty ? ["main"] : []
        try store.expect(shards, model: request.model, version: nil, origin: url, refs: refs)
    }

    private func fetchShards(_ manifest: Manifest) throws {
        let held = try store.heldRevision("\(request.model)@\(request.revision)")
        defer { withExtendedLifetime(held) {} }
        let wanted = wantedShards(manifest)
        let missing = try store.catalog.read { db in
            try wanted.filter { try ShardTable.find($0.key, db)?.state != .present }
        }
        let bytes = missing.values.reduce(0, +)
        try store.checkRoom(for: bytes)
        work.expect(bytes)
        let (store, work) = (store, work)
        let groups = ShardBatch.cut(missing.sorted { $0.key < $1.key }, bytes: \.value)
        try ParallelWork.run(groups) { group in
            try store.refetch(group: group.map(\.key), onUse: false, work) { digest, result in
                try result.get()
                work.advance(missing[digest] ?? 0)
            }
        }
    }

    private func summary(_ digest: ContentDigest, _ manifest: Manifest) throws -> PullSummary {
        try store.catalog.read { db in
            let row = try RevisionRow.find("\(request.model)@\(digest.hex)", db)
            let isComplete = try manifest.files.flatMap(\.content.shards).allSatisfy {
                try ShardTable.find($0.digest, db)?.state == .present
            }
            return PullSummary(
                model: request.model, version: row.version, digest: digest,
                commit: manifest.commit ?? String(digest.hex.prefix(40)), origin: url, files: manifest.files.count,
                bytes: manifest.files.saturatingSum(\.content.bytes), fetched: work.progress.done - fetchedBefore,
                complete: isComplete)
        }
    }
}

extension FetchSelection {
    /// The shards of a file that are selected.
    func shards(of file: Manifest.File) -> [ShardFacts] {
        let content = file.content
        if contains(file: file.path) { return content.shards }
        let starts = Set(
            content.tensors.filter { $0.bytes > 0 && contains(TensorPlace(tensorName: $0.name)) }.map(\.offset))
        var offset = 0
        var wanted: Set<Int> = []
        for extent in content.extents {
            if starts.contains(offset) { wanted.insert(extent.shard) }
            offset += extent.length
        }
        if isWholeRevision { wanted.formUnion(content.shards.indices.filter { content.shards[$0].kind == .file }) }
        return wanted.sorted().map { content.shards[$0] }
    }
}
