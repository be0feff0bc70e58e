import Support
import WeightStore

/// The hub behind a server: adds revisions that clients request and the store lacks, and moves the refs that have moved
/// there. The bytes are fetched when a client requests them.
public struct UpstreamHub: PullThrough {
    private let store: Store
    private let url: String
    private let compared = ComparedCommits()
    /// For revalidations, which give up sooner than pulls: the store has an answer. nil for an origin without refs.
    private let hub: HubOrigin?
    /// The commits of refs with the hub's entity tags.
    private let known = SharedTable<Ref, HubOrigin.NamedCommit>()

    private struct Ref: Hashable {
        let model: ByteText
        let name: ByteText
    }

    /// See ``PullThrough/revalidationInterval``.
    public let revalidationInterval: Duration?

    /// Checks the URL; sends no request.
    ///
    /// - Parameters:
    ///   - url: as ``PullRequest/origin``.
    ///   - revalidateSeconds: the time after which a ref is compared with the hub's.
    /// - Throws: ``FetchError/unusable(url:reason:)``.
    public init(_ store: Store, url: String, revalidateSeconds: Double = 60) throws {
        self.store = store
        self.url = try store.checkOrigin(url)
        var options = TransportOptions()
        (options.attempts, options.idleSeconds, options.connectSeconds) = (2, 5, 5)
        options.maximumRetryAfterSeconds = 2
        hub = url.hasBytePrefix("http") ? try HubOrigin(url, options: options) : nil
        revalidationInterval = hub == nil ? nil : Duration.seconds(revalidateSeconds)
    }

    /// Adds a revision's list of files to the store. The work ends with ``Store/stopFetching()``.
    ///
    /// - Returns: true.
    /// - Throws: ``FetchError``, also if the hub does not have the revision; an error of the store.
    public func pull(model: String, revision: String) async throws -> Bool {
        var request = try PullRequest("\(model)@\(revision)")
        request.origin = url
        request.selection = .nothing
        try await store.pull(request, work: Work(within: store.missWork))
        return true
    }

    /// See ``PullThrough/revalidate(ref:of:commit:)``.
    public func revalidate(ref: String, of model: String, commit: String?) async throws -> String? {
        guard let hub else { return commit }
        let key = Ref(model: ByteText(model), name: ByteText(ref))
        let work = Work(within: store.missWork)
        let last = known[key].flatMap { $0.commit == commit ? $0 : nil }
        let now: HubOrigin.NamedCommit
        do {
            now = try await work.run { try hub.commit(of: model, at: ref, known: last, work) }
        } catch FetchError.notFound(let what, _, _) where what == "revision" || commit == nil {
            // A model without the ref may be in this store alone.
            return nil
        }
        if now.commit != commit { _ = try await pull(model: model, revision: ref) }
        known[key] = now
        return now.commit
    }

    /// Whether the files of a revision's commit have not been compared with those of the hub.
    ///
    /// - Throws: ``FetchError``: the failure of the last comparison, for some time; an error of the store.
    public func mayComplete(model: String, revision: String) throws -> Bool {
        guard let commit = try store.unlistedCommit(of: Self.name(model, revision)) else { return false }
        return try !compared.isDone(model, commit)
    }

    /// Adds the files of a revision's commit that the store lacks. The hub is requested once for each commit, and again
    /// after a failure. The work ends with ``Store/stopFetching()``.
    ///
    /// - Returns: false if it lacks none.
    /// - Throws: ``FetchError``; an error of the store.
    public func complete(model: String, revision: String) async throws -> Bool {
        let work = Work(within: store.missWork)
        return try await work.run { [store, url, compared] in
            let name = Self.name(model, revision)
            var commit: String?
            do {
                let done = try store.completeBlocking(name, from: url, work: work) {
                    commit = $0
                    return try compared.isDone(model, $0)
                }
                guard let done else { return false }
                compared.add(model, done.commit, failure: nil)
                return done.isFuller
            } catch let error as FetchError {
                // A hub without the model has no files of it.
                if case .notFound = error {
                    if let commit { compared.add(model, commit, failure: nil) }
                    return false
                }
                if let commit { compared.add(model, commit, failure: error) }
                throw error
            }
        }
    }

    /// The store's name of a revision: `main` is the last version if there is no such ref.
    private static func name(_ model: String, _ revision: String) -> String {
        revision == "main" ? model : "\(model)@\(revision)"
    }
}
