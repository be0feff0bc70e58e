import Foundation
import NIOHTTP1
import Synchronization
import WeightStore
import WireFormats

/// A hub with the Hugging Face Hub's API.
///
///     let hub = try HubOrigin("https://huggingface.co")
///     let revision = try hub.listing(of: "org/name", at: "main")
///
/// Files are requested by commit, so that a branch that moves does not mix two revisions. The token is sent only to the
/// hub, never to the target of a redirect, and by plain HTTP only to this machine.
public final class HubOrigin: ModelOrigin {
    /// The hub's endpoint.
    public let url: String
    let transport: Transport
    private let endpoint: Address
    private let token: String?
    /// The redirect target of each file, by path.
    private let redirects = Mutex<[ByteText: RedirectCache]>([:])

    /// The hub named by the environment: `HF_ENDPOINT`, or the public one.
    public static var defaultURL: String {
        let named = ProcessInfo.processInfo.environment["HF_ENDPOINT"] ?? ""
        return named.isEmpty ? "https://huggingface.co" : trimmed(named)
    }

    /// Creates the origin without sending a request.
    ///
    /// - Parameters:
    ///   - url: the hub's endpoint.
    ///   - token: nil for the environment's token, if there is one: ``HubToken``; empty for none.
    ///   - options: time limits and security of the connections.
    /// - Throws: ``FetchError/unusable(url:reason:)``, also for a token and plain HTTP to another machine, unless
    ///   ``TransportOptions/allowsPlainHTTP``; ``FetchError/badCredentials(url:reason:)``; an error if the token's file
    ///   cannot be read.
    public init(_ url: String, token: String? = nil, options: TransportOptions = TransportOptions()) throws {
        guard let endpoint = Address(Self.trimmed(url)) else {
            throw FetchError.unusable(url: url, reason: "not a hub's URL; expected https://host or http://host")
        }
        self.url = Self.trimmed(url)
        self.endpoint = endpoint
        let token = try token ?? HubToken.find() ?? ""
        try HubToken.check(token, for: url)
        self.token = token.isEmpty ? nil : token
        if !token.isEmpty { try options.check(endpoint, for: url) }
        transport = Transport(options)
    }

    private static func trimmed(_ url: String) -> String {
        url.dropping(byteSuffix: "/").map(trimmed) ?? url
    }

    /// Fills `buffer` with a file's bytes that begin at `offset`.
    ///
    /// - Throws: ``FetchError``; `CancellationError`.
    public func read(
        _ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work
    ) throws {
        try transport.fill(
            buffer, from: resource(model: file.model, commit: file.commit, path: file.path, bytes: file.bytes),
            at: offset,
            work)
    }

    /// Fetches the missing bytes of a shard from its file, and passes them to `body` in order.
    ///
    /// - Throws: ``FetchError``; `CancellationError`; an error that `body` throws.
    public func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let file = resource(model: request.model, commit: request.commit, path: request.path, bytes: nil)
        // A pack may have thousands of tensors, which are neighbours in the file.
        let ranges = JoinedRange.join(
            request.missing.map { JoinedRange.Part(shard: 0, $0) }, atMost: OrderedFetch.partBytes)
        let parts = ranges.map { OrderedFetch.Part(offset: $0.offset, length: $0.length) }
        try OrderedFetch.fetch(
            parts, work,
            { [transport] part, memory, work in
                try transport.fill(memory, from: file, at: part.offset, work)
            }
        ) { number, bytes in
            for part in ranges[number].parts {
                let first = ranges[number].offset(of: part)
                try body(
                    part.piece.shardOffset, UnsafeRawBufferPointer(rebasing: bytes[first..<first + part.piece.length]))
            }
        }
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
        let redirect = redirects.withLock { redirects in
            let redirect = redirects[ByteText(place)] ?? RedirectCache()
            redirects[ByteText(place)] = redirect
            return redirect
        }
        let first = request(place)
        let isPage = path.lowercased().hasSuffix(".html") || path.lowercased().hasSuffix(".htm")
        return Transport.Resource(
            what: "file \(path)", request: { _ in first }, bytes: bytes, isPage: isPage, redirect: redirect,
            explain: Self.explain)
    }

    /// Translates the hub's own headers into an error.
    @Sendable static func explain(_ answer: Transport.Response, _ address: Address) -> FetchError? {
        let code = answer.headers.first(name: "x-error-code") ?? ""
        let message = String((answer.headers.first(name: "x-error-message") ?? "").prefix(200))
        switch code {
        case "RepoNotFound": return .notFound(what: "model", url: address.name, status: answer.status)
        case "RevisionNotFound": return .notFound(what: "revision", url: address.name, status: answer.status)
        case "EntryNotFound": return .notFound(what: "file", url: address.name, status: answer.status)
        default:
            // The hub answers 401 for a model that does not exist, so as not to reveal private ones.
            return answer.status == 401 || answer.status == 403 || code == "GatedRepo"
                ? .unauthorized(
                    url: address.name, status: answer.status, message: message, code: String(code.prefix(100))) : nil
        }
    }
}
