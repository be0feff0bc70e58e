/// What can keep a server from serving.
public enum ServerError: Error, Sendable, Equatable {
    /// The address can't be listened on.
    case bind(host: String, port: Int, reason: String)
    /// Not a token that a client could send. The token is not told.
    case token(source: String, reason: String)
    /// A certificate, or a key, that can't be served with.
    case certificate(path: String, reason: String)
}

extension ServerError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .bind(let host, let port, let reason):
            "\(host):\(port): cannot listen there: \(reason)."
        case .token(let source, let reason):
            "\(source): no access token: \(reason)."
        case .certificate(let path, let reason):
            "\(path): can't serve https with it: \(reason)."
        }
    }
}
