import HTTPTypes
import Hummingbird
import WeightStore
import WireFormats

/// Answers other stores: the revisions of a model, and manifests and shards by digest.
struct Peers: Sendable {
    let store: Store
    let threads: BlockingThreads
    /// For reads of shards.
    let readers: BlockingThreads
    let inFlight: (any InFlightFetches)?

    /// The longest wait that a peer can request, in seconds.
    private static let longestWait = 20.0

    func revisions(_ model: String) async throws -> Answer {
        try .json(try await threads.run { [store] in try store.revisions(of: model) })
    }

    /// - Parameter client: the client's token; nil if the server requires none.
    func shard(_ digest: ContentDigest, _ request: Request, for client: AccessToken?) async throws -> Answer {
        try await require(client) { [store] in try store.models(holding: digest) }
        return try await blob(digest, request, isPublic: client == nil) { [store] in try store.shard(digest) }
    }

    /// - Parameter client: as in ``shard(_:_:for:)``.
    func manifest(_ digest: ContentDigest, _ request: Request, for client: AccessToken?) async throws -> Answer {
        try await require(client) { [store] in try store.models(withManifest: digest) }
        return try await blob(digest, request, isPublic: client == nil) { [store] in try store.manifest(digest) }
    }

    /// Requires that a token with patterns of models reads one of those that hold a blob. What is still being fetched belongs
    /// to no model yet.
    private func require(_ client: AccessToken?, _ holders: @escaping @Sendable () throws -> [String]) async throws {
        guard let client, client.models != nil else { return }
        guard try await threads.run(holders).contains(where: client.reads) else { throw HubError.noPage }
    }

    private func look(
        for digest: ContentDigest, _ request: Request, _ find: @escaping @Sendable () throws -> StoredBytes?
    ) async throws -> StoredBytes? {
        if let stored = try await threads.run(find) { return stored }
        guard let inFlight, let text = Query(request.uri.query ?? "")["wait"], let seconds = Double(text), seconds > 0
        else {
            return nil
        }
        guard let hasArrived = try await inFlight.arrival(of: digest, within: min(seconds, Self.longestWait)) else {
            // It may have arrived between the two calls.
            return try await threads.run(find)
        }
        if let stored = try await threads.run(find) { return stored }
        if hasArrived { return nil }
        throw HubError.underWay
    }

    /// - Parameter isPublic: whether a shared cache may store the response; false if a token is required.
    private func blob(
        _ digest: ContentDigest, _ request: Request, isPublic: Bool,
        _ find: @escaping @Sendable () throws -> StoredBytes?
    ) async throws -> Answer {
        guard let stored = try await look(for: digest, request, find) else { throw HubError.noPage }
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
