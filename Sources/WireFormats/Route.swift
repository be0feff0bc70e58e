import Support
import WeightStore

/// The resource that a path names. Every component is decoded and checked. File paths are looked up as whole names in
/// the catalog, and are never used as paths of the file system.
package enum Route: Equatable {
    case page
    case health
    case metrics
    case whoAmI
    case models
    case model(String, revision: String?)
    case tree(String, revision: String, path: String)
    case pathsInfo(String, revision: String)
    case refs(String)
    case commits(String, revision: String)
    case authCheck(String)
    case file(String, revision: String, path: String)
    case revisions(String)
    case shard(ContentDigest)
    case manifest(ContentDigest)

    /// - Parameter path: as the client sent it, without the query.
    package init(_ path: String) throws(HubError) {
        guard let path = path.dropping(bytePrefix: "/") else { throw .badRequest("the path does not begin with /") }
        var parts: [String] = []
        for part in path.byteParts("/") {
            guard let part = PercentEncoding.decode(part) else {
                throw .badRequest("the path is not percent-encoded UTF-8")
            }
            parts.append(part)
        }
        if parts.last?.isEmpty == true { parts.removeLast() }
        switch (parts.first, parts.count) {
        case (nil, _): self = .page
        case ("health", 1): self = .health
        case ("metrics", 1): self = .metrics
        case ("shards", 2): self = .shard(try Self.digest(parts[1]))
        case ("manifests", 2): self = .manifest(try Self.digest(parts[1]))
        case ("api", _): self = try Self.api(Array(parts.dropFirst()))
        default: self = try Self.resolve(parts)
        }
    }

    /// `org/name/resolve/revision/path`, or without `org`.
    private static func resolve(_ parts: [String]) throws(HubError) -> Route {
        guard let place = [2, 1].first(where: { $0 + 2 < parts.count && parts[$0] == "resolve" }) else {
            throw parts.contains("resolve") ? .noModel : .noPage
        }
        return .file(try model(parts[..<place]), revision: parts[place + 1], path: try file(parts[(place + 2)...]))
    }

    private static func api(_ parts: [String]) throws(HubError) -> Route {
        switch (parts.first, parts.count) {
        case ("whoami-v2", 1): return .whoAmI
        case ("models", 1): return .models
        case ("models", _): return try models(parts.dropFirst())
        case ("weightstore", 4...) where parts[1] == "models" && parts.last == "revisions":
            return .revisions(try model(parts[2..<parts.count - 1]))
        case ("datasets", _), ("spaces", _): throw .noModel
        default: throw .noPage
        }
    }

    private static func models(_ parts: ArraySlice<String>) throws(HubError) -> Route {
        // The words that can follow a model's name, and how many parts must follow each.
        let words = ["revision": 1, "tree": 1, "paths-info": 1, "commits": 1, "refs": 0, "auth-check": 0]
        let place = parts.indices.dropFirst().prefix(2).first { index in
            words[parts[index]].map { index + $0 < parts.endIndex } ?? false
        }
        guard let place else { return .model(try model(parts), revision: nil) }
        let model = try model(parts[..<place])
        let rest = parts[(place + 1)...]
        switch (parts[place], rest.count) {
        case ("revision", 1): return .model(model, revision: rest[rest.startIndex])
        case ("paths-info", 1): return .pathsInfo(model, revision: rest[rest.startIndex])
        case ("commits", 1): return .commits(model, revision: rest[rest.startIndex])
        case ("refs", 0): return .refs(model)
        case ("auth-check", 0): return .authCheck(model)
        case ("tree", 1): return .tree(model, revision: rest[rest.startIndex], path: "")
        case ("tree", _): return .tree(model, revision: rest[rest.startIndex], path: try file(rest.dropFirst()))
        default: throw .noPage
        }
    }

    private static func model(_ parts: ArraySlice<String>) throws(HubError) -> String {
        do {
            guard parts.count <= 2, !["datasets", "spaces"].contains(parts.first) else { throw HubError.noModel }
            return try ModelName.check(parts.joined(separator: "/"))
        } catch {
            // No model can have this name.
            throw .noModel
        }
    }

    /// Clients may send the slashes of a path encoded.
    private static func file(_ parts: ArraySlice<String>) throws(HubError) -> String {
        let path = parts.joined(separator: "/")
        guard RelativePath.isValid(path) else { throw .noFile(commit: nil) }
        return path
    }

    private static func digest(_ text: String) throws(HubError) -> ContentDigest {
        guard let digest = ContentDigest(hex: text) else { throw .noPage }
        return digest
    }
}
