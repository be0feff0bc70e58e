import HTTPTypes
import Hummingbird
import WeightStore
import WireFormats

extension Hub {
    /// A model in the Hub's JSON form. Lists omit `siblings`.
    private struct ModelAnswer: Encodable {
        struct Sibling: Encodable {
            struct LFS: Encodable {
                let sha256: String
                let size: Int
                let pointerSize: Int
            }

            let rfilename: String
            var size: Int?
            var blobId: String?
            var lfs: LFS?
        }

        enum CodingKeys: String, CodingKey {
            case id, modelId, author, sha, gated, disabled, tags, lastModified, createdAt, downloads, likes
            case usedStorage, siblings
            case isPrivate = "private"
        }

        let id: String
        let modelId: String
        let author: String?
        let isPrivate = false
        let gated = false
        let disabled = false
        let likes = 0
        var downloads = 0
        var tags: [String] = []
        let lastModified: String
        let createdAt: String
        var sha: String?
        var usedStorage: Int?
        var siblings: [Sibling]?

        init(_ name: String, modified: Int) {
            id = name
            modelId = name
            author = name.contains("/") ? name.split(separator: "/").first.map(String.init) : nil
            lastModified = Hub.date(modified)
            createdAt = lastModified
        }
    }

    /// The tag of a revision that lacks files, or may lack some.
    static let partialTag = "partial"

    /// A model at a revision. `blobs=true` adds the sizes and digests of its files; `expand` and `securityStatus` are
    /// ignored.
    func model(_ model: String, _ revision: String?, _ request: Request) async throws -> Answer {
        let held = try await holdWhole(model, revision)
        let includesBlobs = Query(request.uri.query ?? "").isSet("blobs")
        let entries = try await threads.run { try held.revision.entries() }
        if includesBlobs { try await prepareNames(of: entries, in: held) }
        return try await threads.run { [names] in
            var result = ModelAnswer(model, modified: held.created)
            result.sha = held.commit
            result.usedStorage = entries.saturatingSum(\.bytes)
            let formats = Set(entries.map(\.format))
            result.tags = FileFormat.readable.map(\.rawValue).filter(formats.contains).sorted()
            if held.partial != nil { result.tags.append(Self.partialTag) }
            result.siblings = try entries.map { entry in
                guard includesBlobs else { return .init(rfilename: entry.path) }
                let file = try names.file(entry, of: held.revision)
                return .init(
                    rfilename: entry.path, size: entry.bytes, blobId: file.objectID,
                    lfs: file.pointerBytes.map {
                        .init(sha256: entry.digest.hex, size: entry.bytes, pointerSize: $0)
                    })
            }
            var answer = try Answer.json(result)
            answer.fields[.xRepoCommit] = held.commit
            answer.fields.append(contentsOf: held.notes)
            return answer
        }
    }

    /// The models whose names contain `search` and whose organization is `author`, sorted by name, or by `sort` in
    /// descending order. The Hub's other filters, on properties that the store does not record, are ignored.
    ///
    /// - Parameter client: the client's token, which may read only some models; nil if the server requires none.
    func models(_ request: Request, for client: AccessToken?) async throws -> Answer {
        let query = Query(request.uri.query ?? "")
        let paging = Paging(request, maximum: pageEntries)
        let search = query["search"]?.lowercased() ?? ""
        return try await threads.run { [store] in
            var models = try store.models().filter { model in
                model.version != nil && client?.reads(model.name) ?? true
                    && (search.isEmpty || model.name.lowercased().contains(search))
                    && (query["author"].map { model.name.hasPrefix($0 + "/") } ?? true)
            }
            switch query["sort"] {
            case "lastModified", "createdAt": models.sort { ($1.modified, $0.name) < ($0.modified, $1.name) }
            case "downloads", "likes", "trendingScore":
                models.sort { ($1.accesses, $0.name) < ($0.accesses, $1.name) }
            default: break
            }
            let (page, fields) = paging.page(models, key: \.name)
            var answer = try Answer.json(
                page.map { model in
                    var result = ModelAnswer(model.name, modified: model.modified)
                    result.downloads = model.accesses
                    if model.partial != nil { result.tags.append(Self.partialTag) }
                    return result
                })
            answer.fields.append(contentsOf: fields)
            return answer
        }
    }
}
