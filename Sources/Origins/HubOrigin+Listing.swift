import Foundation
import WeightStore

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
        struct Info: Decodable { let sha: String }
        let info: Info = try decode(
            ask("revision", request("/api/models/\(model)/revision/\(PercentEncoding.encode(revision))"), work).body)
        var files: [RemoteFile] = []
        var next: Transport.Request? = request("/api/models/\(model)/tree/\(info.sha)?recursive=true&expand=false")
        var pages = 0
        while let page = next {
            pages += 1
            guard pages <= longestPaging else {
                throw FetchError.malformed(
                    url: page.address.name, expected: "a listing of at most \(longestPaging) pages",
                    found: "a link to one more")
            }
            let answer = try ask("revision", page, work)
            let entries: [Entry] = try decode(answer.body)
            for entry in entries where entry.type == "file" {
                files.append(
                    RemoteFile(
                        model: model, commit: info.sha, path: entry.path, bytes: entry.lfs?.size ?? entry.size,
                        digest: entry.lfs.flatMap { ContentDigest(hex: $0.oid) },
                        gitObject: entry.lfs == nil && entry.oid?.count == 40 ? entry.oid : nil))
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
        return RemoteRevision(model: model, commit: info.sha, files: files)
    }

    private struct Entry: Decodable {
        struct LFS: Decodable {
            let oid: String
            let size: Int
        }

        let type: String
        let path: String
        let size: Int
        let oid: String?
        let lfs: LFS?

        enum CodingKeys: CodingKey { case type, path, size, oid, lfs }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            type = try container.decode(String.self, forKey: .type)
            path = try container.decode(String.self, forKey: .path)
            // Directories may have no size.
            size = try container.decodeIfPresent(Int.self, forKey: .size) ?? 0
            oid = try container.decodeIfPresent(String.self, forKey: .oid)
            lfs = try container.decodeIfPresent(LFS.self, forKey: .lfs)
        }
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
        let link = answer.headers[canonicalForm: "link"].first { $0.contains("rel=\"next\"") }
        let next = link.flatMap { link -> String? in
            guard let start = link.firstIndex(of: "<"), let end = link.firstIndex(of: ">"), start < end else {
                return nil
            }
            return String(link[link.index(after: start)..<end])
        }
        return Page(address: request.address, body: answer.text, next: next)
    }

    private func decode<Value: Decodable>(_ body: [UInt8]) throws -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(body))
        } catch {
            throw FetchError.malformed(
                url: url, expected: "the hub's JSON", found: String(decoding: body.prefix(80), as: UTF8.self))
        }
    }
}
