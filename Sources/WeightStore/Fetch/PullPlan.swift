import GRDB
import ModelFormats
import Storage
import Support
import Synchronization

/// What a pull would fetch.
public struct PullPlan: Sendable, Codable {
    /// `org/name`.
    public let model: String
    /// The hub's commit; of an origin that finds revisions by digest, the first 40 digits of the manifest's digest.
    public let commit: String
    /// The URL of the origin.
    public let origin: String
    /// The number of files.
    public let files: Int
    /// Bytes of all files.
    public let bytes: Int
    /// Bytes that the request selects.
    public internal(set) var selected = 0
    /// Of these, bytes that the store holds already.
    public internal(set) var stored = 0

    /// Bytes that the pull would fetch.
    public var missing: Int { max(selected.subtracting(saturating: stored), 0) }

    private enum CodingKeys: String, CodingKey { case model, commit, origin, files, bytes, selected, stored }
}

extension Store {
    /// What ``pull(_:work:)`` would fetch: reads the listing of the origin, and the headers of files if the request selects
    /// layers or experts. Changes nothing. Blocks.
    ///
    /// - Parameters:
    ///   - request: what to fetch, and from where.
    ///   - work: cancelling it ends the call.
    /// - Throws: as ``pull(_:work:)``.
    public func pullPlan(_ request: PullRequest, work: Work = Work()) throws -> PullPlan {
        try firstOrigin(for: request) { origin, url in
            try originPull(request, from: origin, at: url, work).plan()
        }
    }
}

extension ManifestPull {
    func plan() throws -> PullPlan {
        let (digest, shards) = try manifest()
        var plan = PullPlan(
            model: request.model, commit: shards.manifest.commit ?? String(digest.hex.prefix(40)), origin: url,
            files: shards.manifest.files.count, bytes: shards.manifest.files.saturatingSum(\.content.bytes))
        let wanted = wantedShards(shards.manifest)
        plan.selected = Array(wanted.values).saturatingSum(\.self)
        plan.stored = try store.catalog.read { db in
            try wanted.filter { try ShardTable.isPresent($0.key, db) }.values.reduce(0) { $0.adding(saturating: $1) }
        }
        return plan
    }
}

extension Pull {
    /// The bytes of one file.
    private struct Part {
        var selected = 0
        var stored = 0
        /// The file with its tensors, if the selection needs them.
        var described: Manifest.File?
    }

    func plan() throws -> PullPlan {
        let remote = try listing()
        let isKnown = try store.catalog.read { db in try Self.known(remote, db) } != nil
        let parts = Mutex<[Part]>([])
        try ParallelWork.run(remote.files) { file in
            try work.check()
            let part = try part(of: file, isKnown: isKnown)
            parts.withLock { $0.append(part) }
        }
        let all = parts.withLock { $0 }
        try request.selection.check(
            TensorNumbers(all.compactMap(\.described)), paths: remote.files.map(\.path),
            of: "\(request.model)@\(request.revision)")
        var plan = PullPlan(
            model: remote.model, commit: remote.commit, origin: url, files: remote.files.count,
            bytes: remote.files.saturatingSum(\.bytes))
        plan.selected = all.saturatingSum(\.selected)
        plan.stored = all.saturatingSum(\.stored)
        return plan
    }

    private func part(of file: RemoteFile, isKnown: Bool) throws -> Part {
        // A pull fetches these whole, to learn their digests.
        guard let digest = file.digest else { return Part(selected: file.bytes, stored: isKnown ? file.bytes : 0) }
        let content = try store.catalog.read { db in try FileContent.find(digest, hashedOnly: false, db) }
        if let content {
            let described = Manifest.File(path: file.path, content: content)
            let shards = request.selection.shards(of: described)
            let stored = try store.catalog.read { db in
                try shards.filter { try ShardTable.isPresent($0.digest, db) }
            }
            return Part(
                selected: shards.saturatingSum(\.bytes), stored: stored.saturatingSum(\.bytes), described: described)
        }
        let arrived = try store.catalog.read { db in try ExtentTable.arrived(of: digest, db) }
        if request.selection.contains(file: file.path) {
            return Part(selected: file.bytes, stored: Array(arrived.values).saturatingSum(\.self))
        }
        if request.selection.layers == nil, request.selection.experts == nil { return Part() }
        let layout = try FileLayout.read(RemoteSource(file, origin, work, budget), path: file.path, rules: rules)
        let plan = ShardPlan(layout)
        let wanted = request.selection.shards(path: file.path, layout, plan)
        let places = plan.places.filter { wanted.contains($0.extent.shard) }
        return Part(
            selected: places.saturatingSum(\.extent.length),
            stored: places.filter { arrived[$0.offset] != nil }.saturatingSum(\.extent.length),
            described: Manifest.File(
                path: file.path,
                content: FileContent(
                    digest: digest, bytes: file.bytes, format: layout.format, shards: [], extents: [],
                    tensors: layout.tensors, rule: plan.rule, isPending: true)))
    }
}
