import Hummingbird
import WeightStore

extension Hub {
    private struct Refs: Encodable {
        struct Ref: Encodable {
            let name: String
            let ref: String
            let targetCommit: String
        }

        var branches: [Ref] = []
        var tags: [Ref] = []
        let converts: [Ref] = []
        let pullRequests: [Ref] = []
    }

    /// Refs are branches, because they move; versions are tags, because they do not. The tag of a version is `~3`: git has
    /// no such name, so no tag of an upstream has it.
    func refs(_ model: String) async throws -> Answer {
        _ = try await hold(model, nil)
        return try await threads.run { [store] in
            var result = Refs()
            for revision in try store.revisions(of: model) {
                result.branches += revision.refs.map {
                    .init(name: $0, ref: "refs/heads/\($0)", targetCommit: revision.commit)
                }
                guard let tag = revision.version.map(VersionName.text) else { continue }
                result.tags.append(
                    .init(name: tag, ref: "refs/tags/\(tag)", targetCommit: revision.commit))
            }
            return try .json(result)
        }
    }

    private struct Commit: Encodable {
        struct Author: Encodable {
            let user = "weightstore"
        }

        let id: String
        let title: String
        let message: String
        let authors = [Author()]
        let date: String
    }

    /// The versions of a model up to a revision, the newest first.
    func commits(_ model: String, _ revision: String, _ request: Request) async throws -> Answer {
        let held = try await hold(model, revision)
        let paging = Paging(request, maximum: pageEntries)
        return try await threads.run { [store] in
            let last = held.revision.version ?? .max
            let commits = try store.revisions(of: model).reversed().compactMap { info -> Commit? in
                guard let version = info.version, version <= last else { return nil }
                return Commit(
                    id: info.commit, title: VersionName.text(version), message: "", date: Self.date(info.created))
            }
            let (page, fields) = paging.page(commits, key: \.id)
            var answer = try Answer.json(Array(page))
            answer.fields.append(contentsOf: fields)
            return answer
        }
    }
}
