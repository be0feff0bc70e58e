import Foundation
import NIOHTTP1
import Synchronization
import WeightStore

/// A hub that speaks the Hugging Face Hub's API.
///
///     let hub = try HubOrigin("https://huggingface.co")
///     let revision = try hub.listing(of: "org/name", at: "main")
///
/// Files are asked for by commit, so that a branch that moves does not mix two revisions. The token goes to the hub
/// alone, never to where it redirects.
public final class HubOrigin: ModelOrigin {
    public let url: String
    let transport: Transport
    private let endpoint: Address
    private let token: String?
    /// Where the bytes of each file lie, by URL.
    private let shortcuts = Mutex<[String: Shortcut]>([:])

    /// The hub that the environment names: `HF_ENDPOINT`, or the public one.
    public static var defaultURL: String {
        let named = ProcessInfo.processInfo.environment["HF_ENDPOINT"] ?? ""
        return named.isEmpty ? "https://huggingface.co" : trimmed(named)
    }

    /// - Parameters:
    ///   - url: the hub's endpoint.
    ///   - token: nil means the one of the environment, if there is one: ``HubToken``.
    public init(_ url: String, token: String? = nil, options: TransportOptions = TransportOptions()) throws {
        guard let endpoint = Address(Self.trimmed(url)) else {
            throw FetchError.unusable(url: url, reason: "a hub's URL is https://host or http://host")
        }
        self.url = Self.trimmed(url)
        self.endpoint = endpoint
        self.token = try token ?? HubToken.find()
        transport = Transport(options)
    }

    private static func trimmed(_ url: String) -> String {
        url.hasSuffix("/") ? trimmed(String(url.dropLast())) : url
    }

    public func read(
        _ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work
    ) throws {
        try transport.fill(
            buffer, from: resource(model: file.model, commit: file.commit, path: file.path, bytes: file.bytes),
            at: offset,
            work)
    }

    public func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let file = resource(model: request.model, commit: request.commit, path: request.path, bytes: nil)
        let parts = request.missing.flatMap { piece in
            OrderedParts.cut(piece.length).map { part in
                OrderedParts.Part(
                    offset: piece.fileOffset + part.lowerBound, shardOffset: piece.shardOffset + part.lowerBound,
                    length: part.count)
            }
        }
        try OrderedParts.fetch(
            parts, work,
            { [transport] part, memory, work in
                try transport.fill(memory, from: file, at: part.offset, work)
            }, body)
    }

    /// A request to the hub itself.
    func request(_ path: String) -> Transport.Request {
        request(Address(url + path) ?? endpoint)
    }

    func request(_ address: Address) -> Transport.Request {
        var headers = HTTPHeaders()
        if let token, address.place == endpoint.place { headers.add(name: "authorization", value: "Bearer \(token)") }
        return Transport.Request(address: address, headers: headers)
    }

    private func resource(model: String, commit: String, path: String, bytes: Int?) -> Transport.Resource {
        let place =
            "/\(model)/resolve/\(PercentEncoding.encode(commit))/\(PercentEncoding.encode(path, keepingSlashes: true))"
        let shortcut = shortcuts.withLock { shortcuts in
            let shortcut = shortcuts[place] ?? Shortcut()
            shortcuts[place] = shortcut
            return shortcut
        }
        let first = request(place)
        let isPage = path.lowercased().hasSuffix(".html") || path.lowercased().hasSuffix(".htm")
        return Transport.Resource(
            what: "file \(path)", request: { _ in first }, bytes: bytes, isPage: isPage, shortcut: shortcut,
            explain: Self.explain)
    }

    /// What the hub says by its own headers.
    @Sendable static func explain(_ answer: Transport.Answer, _ address: Address) -> FetchError? {
        let code = answer.headers.first(name: "x-error-code") ?? ""
        let message = String((answer.headers.first(name: "x-error-message") ?? "").prefix(200))
        switch code {
        case "RepoNotFound": return .notFound(what: "model", url: address.name, status: answer.status)
        case "RevisionNotFound": return .notFound(what: "revision", url: address.name, status: answer.status)
        case "EntryNotFound": return .notFound(what: "file", url: address.name, status: answer.status)
        case "GatedRepo": return .unauthorized(url: address.name, status: answer.status, message: message)
        default:
            // The hub answers 401 for a model that is not there, so as not to tell which private ones are.
            return answer.status == 401 || answer.status == 403
                ? .unauthorized(url: address.name, status: answer.status, message: message) : nil
        }
    }
}
