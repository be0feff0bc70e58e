import Support
import WeightStore
import WireFormats

extension HubOrigin {
    /// The commit that a ref names, and the hub's entity tag of this answer.
    struct NamedCommit: Sendable {
        let commit: String
        /// nil if the hub gives none.
        let tag: String?
    }

    /// The largest answer that is accepted: it also lists the names of the files.
    private static let commitBytes = 64 << 20

    /// Finds the commit that a ref names now.
    ///
    /// - Parameter known: an earlier result. If the hub gave an entity tag with it, the request is conditional.
    /// - Returns: `known` if the hub says that it has not changed.
    /// - Throws: ``FetchError``; `CancellationError`.
    func commit(of model: String, at ref: String, known: NamedCommit?, _ work: Work) throws -> NamedCommit {
        var first = request("/api/models/\(model)/revision/\(PercentEncoding.encode(ref))")
        if let tag = known?.tag { first.headers.replaceOrAdd(name: "if-none-match", value: tag) }
        let answer = try transport.collect(
            .init(what: "revision", request: { [first] _ in first }, explain: Self.explain), limit: Self.commitBytes,
            work)
        if answer.status == 304, let known, known.tag != nil { return known }
        do {
            return NamedCommit(
                commit: try HubListing.commit(answer.text), tag: answer.headers.first(name: "etag"))
        } catch {
            throw FetchError.malformed(
                url: first.address.name, expected: "the hub's JSON",
                found: String(decoding: answer.text.prefix(80), as: UTF8.self))
        }
    }
}
