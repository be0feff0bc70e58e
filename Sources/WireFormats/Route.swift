import Support
import WeightStore

/// The resource that a path names. Every component is decoded and checked. File paths are looked up as whole names in
/// the catalog, and are never used as paths of the file system.
package enum Route: Equatable {
    /// A page for people, or its data.
    case dashboard(DashboardRoute)
    /// Whether the process answers at all.
    case live
    /// Whether the server can do its work: `/readyz`, and the same under `/health`.
    case ready
    case metrics
    case whoAmI
    case models
    case model(String, revision: String?)
    case tree(String, revision: String, path: String)
    case pathsInfo(String, revision: String)
    case refs(String)
    case commits(String, revision: String)
    case authCheck(String)
    case discussions(String)
    case file(String, revision: String, path: String)
    /// A file as git has it: the pointer of a file in LFS.
    case raw(String, revision: String, path: String)
    /// A dataset, a space or a kernel of the Hub.
    case otherRepository(OtherRepository)
    /// The root of the registry that Ollama reads.
    case registry
    case registryManifest(String, tag: String)
    case registryBlob(String, ContentDigest)
    case revisions(String)
    case shard(ContentDigest)
    case manifest(ContentDigest)

    /// The part of the store that a response may reveal. A token that is limited to some models reads only a part.
    package enum Content: Equatable {
        /// The state of the server, without a name of a model: it needs no token.
        case state
        /// The totals.
        case metrics
        /// Something of every model.
        case store
        /// The list of the models, from which others can be left out.
        case models
        case model(String)
        /// A shard, which belongs to some models.
        case blob(ContentDigest)
        /// A manifest, likewise.
        case manifest(ContentDigest)
        /// Nothing but what the client itself is.
        case client
    }

    /// What a response to this route reveals.
    package var content: Content {
        switch self {
        case .live, .ready: .state
        case .metrics: .metrics
        case .dashboard: .store
        case .models: .models
        case .whoAmI, .registry, .otherRepository: .client
        case .model(let model, _), .tree(let model, _, _), .pathsInfo(let model, _), .refs(let model),
            .commits(let model, _), .authCheck(let model), .discussions(let model), .file(let model, _, _),
            .raw(let model, _, _), .registryManifest(let model, _), .registryBlob(let model, _), .revisions(let model):
            .model(model)
        case .shard(let digest): .blob(digest)
        case .manifest(let digest): .manifest(digest)
        }
    }

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
        if let other = parts.first.flatMap({ OtherRepository(folder: $0) }) {
            self = .otherRepository(other)
            return
        }
        switch (parts.first, parts.count) {
        case (nil, _): self = .dashboard(.overview)
        case (_, 1): self = try Self.single(parts[0])
        // A file of a model `models` has more components.
        case ("models", 2...3): self = .dashboard(.model(try Self.model(parts[1...])))
        case ("shards", 2): self = .shard(try Self.digest(parts[1]))
        case ("manifests", 2): self = .manifest(try Self.digest(parts[1]))
        case ("api", _): self = try Self.api(Array(parts.dropFirst()))
        case ("v2", 4...5) where Self.isRegistry(parts): self = try Self.registry(parts.dropFirst())
        default: self = try Self.resolve(parts)
        }
    }

    /// A path of one component.
    private static func single(_ name: String) throws(HubError) -> Route {
        switch name {
        case "livez": return .live
        case "readyz", "health": return .ready
        case "metrics": return .metrics
        case "v2": return .registry
        default:
            guard let section = DashboardSection(rawValue: name) else { throw .noPage }
            return .dashboard(.section(section))
        }
    }

    /// `org/name/resolve/revision/path` or `org/name/raw/revision/path`, or without `org`.
    private static func resolve(_ parts: [String]) throws(HubError) -> Route {
        // A revision may be called "raw".
        for word in ["resolve", "raw"] {
            guard let place = [2, 1].first(where: { $0 + 2 < parts.count && parts[$0] == word }) else { continue }
            let model = try model(parts[..<place])
            let revision = parts[place + 1]
            let path = try file(parts[(place + 2)...])
            return word == "raw"
                ? .raw(model, revision: revision, path: path) : .file(model, revision: revision, path: path)
        }
        throw parts.contains("resolve") || parts.contains("raw") ? .noModel : .noPage
    }

    /// Whether a path is one of the registry, and not of a file of the model `v2` or `v2/…`.
    private static func isRegistry(_ parts: [String]) -> Bool {
        ["manifests", "blobs"].contains(parts[parts.count - 2])
            && !parts[1..<parts.count - 2].contains { ["resolve", "raw"].contains($0) }
    }

    /// `org/name/manifests/tag` or `org/name/blobs/sha256:digest`, or without `org`. For Ollama, a model without `org` is
    /// in `library`.
    private static func registry(_ parts: ArraySlice<String>) throws(HubError) -> Route {
        var name = parts.dropLast(2)
        if name.count == 2, name.first == "library" { name.removeFirst() }
        let model = try model(name)
        let last = parts[parts.endIndex - 1]
        guard parts[parts.endIndex - 2] == "blobs" else { return .registryManifest(model, tag: last) }
        guard last.hasBytePrefix("sha256:") else { throw .noPage }
        return .registryBlob(model, try digest(last))
    }

    private static func api(_ parts: [String]) throws(HubError) -> Route {
        switch (parts.first, parts.count) {
        case ("whoami-v2", 1): return .whoAmI
        case ("models", 1): return .models
        case ("models", _): return try models(parts.dropFirst())
        case ("weightstore", 4...) where parts[1] == "models" && parts.last == "revisions":
            return .revisions(try model(parts[2..<parts.count - 1]))
        case ("weightstore", 2): return .dashboard(try dashboardData(parts[1]))
        case ("weightstore", 3...4) where parts[1] == "details": return .dashboard(.details(try model(parts[2...])))
        default:
            guard let other = parts.first.flatMap({ OtherRepository(folder: $0) }) else { throw .noPage }
            return .otherRepository(other)
        }
    }

    private static func dashboardData(_ name: String) throws(HubError) -> DashboardRoute {
        if name == "updates" { return .updates }
        guard let section = DashboardSection(rawValue: name) else { throw .noPage }
        return .data(section)
    }

    private static func models(_ parts: ArraySlice<String>) throws(HubError) -> Route {
        // The words that can follow a model's name, and how many parts must follow each.
        let words = [
            "revision": 1, "tree": 1, "paths-info": 1, "commits": 1, "refs": 0, "auth-check": 0, "discussions": 0,
        ]
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
        case ("discussions", 0): return .discussions(model)
        case ("tree", 1): return .tree(model, revision: rest[rest.startIndex], path: "")
        case ("tree", _): return .tree(model, revision: rest[rest.startIndex], path: try file(rest.dropFirst()))
        default: throw .noPage
        }
    }

    private static func model(_ parts: ArraySlice<String>) throws(HubError) -> String {
        do {
            guard parts.count <= 2, parts.first.flatMap({ OtherRepository(folder: $0) }) == nil else {
                throw HubError.noModel
            }
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

/// A repository of the Hub that is no model. Stores have models only.
package enum OtherRepository: String, Sendable {
    case dataset, space, kernel

    /// - Parameter folder: the first word of its paths: `datasets`, `spaces`, `kernels`.
    package init?(folder: String) {
        guard let name = folder.dropping(byteSuffix: "s") else { return nil }
        self.init(rawValue: name)
    }
}
