import HTTPTypes
import Hummingbird
import WeightStore

/// What other stores ask: which revisions there are, their manifests, and shards by digest.
struct Peers: Sendable {
    let store: Store
    let threads: BlockingThreads
    /// For bytes of shards.
    let readers: BlockingThreads

    func revisions(_ model: String) async throws -> Answer {
        try .json(try await threads.run { [store] in try store.revisions(of: model) })
    }

    func shard(_ digest: Digest, _ request: Request, isPublic: Bool) async throws -> Answer {
        try await blob(digest, request, isPublic) { [store] in try store.shard(digest) }
    }

    func manifest(_ digest: Digest, _ request: Request, isPublic: Bool) async throws -> Answer {
        try await blob(digest, request, isPublic) { [store] in try store.manifest(digest) }
    }

    /// - Parameter isPublic: whether a cache between may keep it for others: not if a token is asked for.
    private func blob(
        _ digest: Digest, _ request: Request, _ isPublic: Bool, _ find: @escaping @Sendable () throws -> StoredBytes?
    ) async throws -> Answer {
        guard let stored = try await threads.run(find) else { throw HubError.noPage }
        let answer = BytesAnswer(
            bytes: stored.range.count, tag: digest.hex,
            fields: [
                .contentType: "application/octet-stream",
                .cacheControl: "\(isPublic ? "public" : "private"), max-age=31536000, immutable",
            ],
            threads: readers, open: { range, _ in stored.part(range) })
        return try await answer.answer(to: request)
    }
}
