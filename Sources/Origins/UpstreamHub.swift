import WeightStore

/// The hub behind a server: adds revisions that clients request and the store lacks. Their bytes are fetched when a
/// client requests them.
public struct UpstreamHub: PullThrough {
    private let store: Store
    private let url: String

    /// Checks the URL; sends no request.
    ///
    /// - Parameter url: as ``PullRequest/origin``.
    /// - Throws: ``FetchError/unusable(url:reason:)``.
    public init(_ store: Store, url: String) throws {
        self.store = store
        self.url = try store.checkOrigin(url)
    }

    /// Adds a revision's list of files to the store.
    ///
    /// - Returns: false if the hub does not have the revision.
    /// - Throws: ``FetchError``; an error of the store.
    public func pull(model: String, revision: String) async throws -> Bool {
        var request = try PullRequest("\(model)@\(revision)")
        request.origin = url
        request.selection = .nothing
        do {
            try await store.pull(request, work: Work(within: store.missWork))
            return true
        } catch FetchError.notFound {
            return false
        }
    }
}
