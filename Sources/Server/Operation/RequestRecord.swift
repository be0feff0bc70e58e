import HTTPTypes
import Support
import Synchronization
import WeightStore

/// What is known of a request besides its result: for its line in the log, and for the metrics.
final class RequestRecord: Sendable {
    /// Where the bytes of a response come from.
    enum Source: String, CaseIterable {
        /// From the disk: a hit.
        case stored
        /// From an origin, at least some of them: a miss.
        case fetched
    }

    private struct State {
        var token: String?
        var source = Source.stored
        var origins: [String] = []
        var firstByte: Duration?
    }

    /// The client's own name for the request, or a random one. The response has it, too.
    let id: String
    private let start = ContinuousClock.now
    private let state = Mutex(State())

    /// The most bytes of a client's name for a request.
    private static let idBytes = 64

    init(_ fields: HTTPFields) {
        if let given = fields[.xRequestID], 1...Self.idBytes ~= given.utf8.count, given.isASCIIWord(and: "-_.:") {
            id = given
        } else {
            let digits = String(UInt64.random(in: 0 ... .max), radix: 16)
            id = String(repeating: "0", count: 16 - digits.utf8.count) + digits
        }
    }

    /// The time since the request began.
    var elapsed: Duration { ContinuousClock.now - start }

    /// The name of the client's token; nil for a token without a name, and without one.
    var token: String? {
        get { state.withLock { $0.token } }
        set { state.withLock { $0.token = newValue } }
    }

    var source: Source { state.withLock { $0.source } }

    /// Notes that bytes, or their list, are fetched for the request.
    func noteFetch() { state.withLock { $0.source = .fetched } }

    /// The origins that supplied bytes, by kind and address: `hub huggingface.co`, `bucket weights`. Empty if none did, and
    /// if only the list of the files was fetched.
    var origins: [String] { state.withLock { $0.origins } }

    /// Notes the origins of fetched bytes.
    ///
    /// - Parameter urls: without secrets.
    func noteFetch(from urls: [String]) {
        state.withLock { state in
            state.source = .fetched
            for name in urls.map(Self.name) where !state.origins.contains(name) { state.origins.append(name) }
        }
    }

    /// The kind of an origin, and its host, bucket or folder.
    private static func name(of url: String) -> String {
        let rest = url.byteParts(":", maxSplits: 1).last ?? url
        let place = rest.dropping(bytePrefix: "//") ?? rest
        let kind = SourceKind(origin: url)
        let address = kind == .directory ? place : place.byteParts("/", maxSplits: 1)[0]
        return "\(kind.rawValue) \(AccessLine.printable(address))"
    }

    /// The time until the first byte of the response was ready; nil before that.
    var firstByte: Duration? { state.withLock { $0.firstByte } }

    /// Notes that the first byte is ready.
    func noteFirstByte() {
        let elapsed = elapsed
        state.withLock { $0.firstByte = $0.firstByte ?? elapsed }
    }
}

extension HTTPField.Name {
    static let xRequestID = HTTPField.Name("X-Request-Id")!
}
