import Hummingbird
import Logging
import WeightStore

/// A request's line in the log:
///
///     127.0.0.1 GET /org/name/resolve/main/model.safetensors 206 1048576 bytes 3.1 ms, first byte 0.9 ms, stored, \
///     token laptop, request 8d1c6a5e0f3b2790
///
/// Instead of `stored`, it has `fetched from hub huggingface.co` if an origin supplied bytes.
///
/// Its metadata have the same facts, for logs in JSON. Header fields and queries are omitted, because they may contain
/// secrets. Characters outside printable ASCII are replaced, because a terminal may interpret them.
struct AccessLine: Sendable {
    /// Method and path.
    let request: String
    private let method: String
    private let path: String
    private let peer: String
    private let record: RequestRecord
    private let logger: Logger

    init(_ request: Request, peer: String, _ record: RequestRecord, logger: Logger) {
        path = Self.printable(request.uri.path)
        method = request.method.rawValue
        self.request = "\(method) \(self.path)"
        self.peer = peer
        self.record = record
        self.logger = logger
    }

    /// The path of a request as the log has it, without its query.
    static func printable(_ uri: String) -> String {
        let path = uri.unicodeScalars.prefix { $0 != "?" }
        return String(
            String.UnicodeScalarView(path.prefix(500).map { 0x20 < $0.value && $0.value < 0x7F ? $0 : "?" }))
    }

    /// - Parameters:
    ///   - bytes: the bytes of the body that were sent.
    ///   - broken: the error that ended the response early.
    func write(_ status: HTTPResponse.Status, bytes: Int, broken: (any Error)? = nil) {
        let elapsed = record.elapsed
        var text = "\(peer) \(request) \(status.code) \(bytes) bytes \(Self.milliseconds(elapsed)) ms"
        var facts: Logger.Metadata = [
            "request": "\(record.id)", "peer": "\(peer)", "method": "\(method)", "path": "\(path)",
            "status": .stringConvertible(status.code), "bytes": .stringConvertible(bytes),
            "seconds": .stringConvertible(elapsed / .seconds(1)),
        ]
        if let firstByte = record.firstByte {
            let origins = record.origins.joined(separator: " and ")
            text += ", first byte \(Self.milliseconds(firstByte)) ms, \(record.source.rawValue)"
            if !origins.isEmpty {
                text += " from \(origins)"
                facts["origin"] = "\(origins)"
            }
            facts["first_byte_seconds"] = .stringConvertible(firstByte / .seconds(1))
            facts["source"] = "\(record.source.rawValue)"
        }
        if let token = record.token {
            text += ", token \(token)"
            facts["token"] = "\(token)"
        }
        text += ", request \(record.id)"
        if let broken {
            text += ", interrupted: \(broken)"
            facts["error"] = "\(broken)"
        }
        logger.log(level: Self.level(status, broken), "\(text)", metadata: facts)
    }

    /// Logs why a request failed. Its line follows.
    func fail(_ error: any Error) {
        logger.error("\(request): \(error)", metadata: ["request": "\(record.id)"])
    }

    private static func milliseconds(_ time: Duration) -> Double { ((time / .milliseconds(1)) * 10).rounded() / 10 }

    /// A client that disconnects is no fault of the server; bytes that cannot be read are. A token that is refused may be an
    /// attack.
    private static func level(_ status: HTTPResponse.Status, _ broken: (any Error)?) -> Logger.Level {
        if let broken { return isOwn(broken) ? .error : .info }
        return switch status.code {
        case 401, 403: .notice
        case 500...: .warning
        default: .info
        }
    }

    /// Whether an error comes from the store or from its origins, and not from the connection.
    private static func isOwn(_ error: any Error) -> Bool {
        if case .other = StoreError(error) { return false }
        return !(error is CancellationError)
    }
}
