import WeightStore

/// The hub behind a server: what clients request and the store lacks becomes known from there, and its bytes are fetched
/// when they are requested.
public struct UpstreamHub: PullThrough {
    private let store: Store
    private let url: String

    /// - Parameter url: as ``PullRequest/origin``.
    /// - Throws: ``FetchError/unusable(url:reason:)``.
    public init(_ store: Store, url: String) throws {
        self.store = store
        self.url = try store.checkOrigin(url)
    }

    public func pull(model: String, revision: String) async throws -> Bool {
        var request = try PullRequest("\(model)@\(revision)")
        request.origin = url
        request.selection = .nothing
        do {
            try await store.pull(request, work: Work(within: store.misses))
            return true
        } catch FetchError.notFound {
            return false
        }
    }
}
