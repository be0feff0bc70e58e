import Support
import WeightStore
import WireFormats

extension HubOrigin {
    /// The largest page of a listing that is accepted.
    private static let listingBytes = 256 << 20
    private static let longestPaging = 10_000

    /// Lists the files of a revision.
    ///
    /// - Throws: ``FetchError``; `CancellationError`.
    public func listing(
        of model: String, at revision: String, _ work: Work = Work()
    ) throws -> RemoteRevision {
        try listing(of: model, at: revision, longestPaging: Self.longestPaging, work)
    }

    /// - Parameter longestPaging: the most pages of one listing. A listing with more pages is an error: a part of it
    ///   must not pass for the whole.
    func listing(
        of model: String, at revision: String, longestPaging: Int, _ work: Work
    ) throws -> RemoteRevision {
        let commit = try decode(
            ask("revision", request("/api/models/\(model)/revision/\(PercentEncoding.encode(revision))"), work).body
        ) { body throws(HubListing.Malformed) in try HubListing.commit(body) }
        var files: [RemoteFile] = []
        var next: Transport.Request? = request("/api/models/\(model)/tree/\(commit)?recursive=true&expand=false")
        var pages = 0
        while let page = next {
            pages += 1
            guard pages <= longestPaging else {
                throw FetchError.malformed(
                    url: page.address.name, expected: "a listing of at most \(longestPaging) pages",
                    found: "a link to one more")
            }
            let answer = try ask("revision", page, work)
            files += try decode(answer.body) { body throws(HubListing.Malformed) in
                try HubListing.files(body, model: model, commit: commit)
            }
            next = try answer.next.map { link in
                guard let address = page.address.following(link), address.place == page.address.place else {
                    throw FetchError.badRedirect(
                        url: page.address.name, status: 200, location: Address(link)?.name ?? "elsewhere")
                }
                return request(address)
            }
        }
        guard !files.isEmpty else {
            throw FetchError.notFound(what: "file in the revision", url: "\(url)/\(model)", status: 200)
        }
        return RemoteRevision(model: model, commit: commit, files: files)
    }

    private struct Page {
        let address: Address
        let body: [UInt8]
        /// The `Link` with `rel="next"`.
        let next: String?
    }

    private func ask(_ what: String, _ request: Transport.Request, _ work: Work) throws -> Page {
        let answer = try transport.collect(
            .init(what: what, request: { _ in request }, explain: Self.explain), limit: Self.listingBytes, work)
        let next = answer.headers[canonicalForm: "link"].lazy.compactMap { HubListing.next(link: String($0)) }.first
        return Page(address: request.address, body: answer.text, next: next)
    }

    private func decode<Value>(
        _ body: [UInt8], _ parse: ([UInt8]) throws(HubListing.Malformed) -> Value
    ) throws -> Value {
        do {
            return try parse(body)
        } catch {
            throw FetchError.malformed(
                url: url, expected: "the hub's JSON", found: String(decoding: body.prefix(80), as: UTF8.self))
        }
    }
}
