import Crypto
import Dispatch
import GRDB
import Support
import Synchronization

extension Store {
    /// Adds a revision of a hub, a bucket or a peer, with all of its tensors, and fetches the selected bytes.
    ///
    /// An interrupted pull resumes after the last durable byte, whatever interrupted it.
    ///
    /// - Parameters:
    ///   - request: what to fetch, and from where.
    ///   - work: counts bytes. Cancelling it, or the task, ends the pull.
    /// - Throws: ``FetchError``, ``StoreError``, ``FormatError``, `CancellationError`. If several origins fail,
    ///   ``StoreError/originsFailed(_:)``.
    @discardableResult
    public func pull(_ request: PullRequest, work: Work = Work()) async throws -> PullSummary {
        try await work.run { try self.pullBlocking(request, work: work) }
    }

    /// The blocking form of ``pull(_:work:)``, for threads outside of Swift's cooperative pool.
    @discardableResult
    public func pullBlocking(_ request: PullRequest, work: Work = Work()) throws -> PullSummary {
        try requireOwnBlobs()
        return try firstOrigin(for: request) { origin, url in
            let pull = try originPull(request, from: origin, at: url, work)
            let summary = try fetches.during(request.model, from: url, work) { try pull.run() }
            if summary.fetched > 0 {
                let name = RevisionName.text(summary.model, version: summary.version, digest: summary.digest)
                record(StoreEvent(.fetched, name, bytes: summary.fetched, detail: "from \(url)"))
            }
            return summary
        }
    }

    /// The pull of a request from one of its origins.
    ///
    /// - Throws: ``FetchError`` if the origin cannot list models.
    func originPull(
        _ request: PullRequest, from origin: any Origin, at url: String, _ work: Work
    ) throws -> any OriginPull {
        switch origin {
        case let origin as any ModelOrigin:
            Pull(store: self, request: request, origin: origin, url: url, work: work)
        case let origin as any ManifestOrigin:
            ManifestPull(store: self, request: request, origin: origin, url: url, work: work)
        default:
            throw FetchError.unusable(url: url, reason: "serves single shards, and cannot list models")
        }
    }

    /// The result of the first origin of a request that gives one.
    func firstOrigin<Result>(
        for request: PullRequest, _ body: (_ origin: any Origin, _ url: String) throws -> Result
    ) throws -> Result {
        var urls = try request.origin.map { [try origins.check($0)] } ?? []
        if urls.isEmpty {
            // An error leaves the list empty, and the pull ends with `noOrigin`.
            urls = (try? origins(of: request.model)) ?? []
        }
        var failures = OriginFailures()
        for url in urls {
            do {
                return try body(origins.origin(url), url)
            } catch let error as CancellationError {
                throw error
            } catch {
                if url != urls.last { logger.warning("\(error)") }
                recordFailure(error, of: url)
                failures.add(error, of: url)
            }
        }
        throw failures.error ?? FetchError.noOrigin(name: request.model)
    }
}
