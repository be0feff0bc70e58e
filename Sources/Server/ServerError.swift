/// An error that prevents a server from serving.
public enum ServerError: Error, Sendable, Equatable {
    /// The server cannot listen on the address.
    case bind(host: String, port: Int, reason: String)
    /// The token is not one that a client can send. The error does not contain it.
    case token(source: String, reason: String)
    /// The certificate or the key is unusable.
    case certificate(path: String, reason: String)
}

extension ServerError: CustomStringConvertible {
    /// The failure, and the address or file that it concerns.
    public var description: String {
        switch self {
        case .bind(let host, let port, let reason):
            "\(host):\(port): cannot listen on this address: \(reason)."
        case .token(let source, let reason):
            "\(source): unusable access token: \(reason)."
        case .certificate(let path, let reason):
            "\(path): unusable for https: \(reason)."
        }
    }
}
