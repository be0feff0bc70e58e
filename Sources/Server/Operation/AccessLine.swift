import Hummingbird
import Logging
import WeightStore

/// A request's line in the log:
///
///     127.0.0.1 GET /org/name/resolve/main/model.safetensors 206 1048576 bytes 3.1 ms
///
/// Header fields and queries are omitted, because they may contain secrets. Characters outside printable ASCII are
/// replaced, because a terminal may interpret them.
struct AccessLine: Sendable {
    /// Method and path.
    let request: String
    private let peer: String
    private let logger: Logger
    private let start = ContinuousClock.now

    init(_ request: Request, peer: String, logger: Logger) {
        let path = request.uri.path.unicodeScalars.prefix(500).map { 0x20 < $0.value && $0.value < 0x7F ? $0 : "?" }
        self.request = "\(request.method) \(String(String.UnicodeScalarView(path)))"
        self.peer = peer
        self.logger = logger
    }

    /// - Parameters:
    ///   - bytes: the bytes of the body that were sent.
    ///   - broken: the error that ended the response early.
    func write(_ status: HTTPResponse.Status, bytes: Int, broken: (any Error)? = nil) {
        let milliseconds = (ContinuousClock.now - start) / .milliseconds(1)
        let rounded = (milliseconds * 10).rounded() / 10
        let end = broken.map { " interrupted: \($0)" } ?? ""
        // A client that disconnects is no fault of the server; bytes that cannot be read are.
        let level: Logger.Level = broken.map(Self.isOwn) ?? false ? .error : .info
        logger.log(level: level, "\(peer) \(request) \(status.code) \(bytes) bytes \(rounded) ms\(end)")
    }

    /// Whether an error comes from the store or from its origins, and not from the connection.
    private static func isOwn(_ error: any Error) -> Bool {
        if case .other = StoreError(error) { return false }
        return !(error is CancellationError)
    }
}
