import Support

/// An error between an origin and the store. Its description contains no user, password or token of a URL. `status` is
/// the HTTP status, nil for an origin without HTTP.
public enum FetchError: Error, Sendable, Equatable {
    /// The origin has no such model, revision, file, shard or manifest.
    case notFound(what: String, url: String, status: Int? = nil)
    /// The hub no longer has a commit of which the store holds files: its history was rewritten.
    case commitGone(model: String, commit: String, url: String)
    /// The origin requires a token, or rejects the given one. `code` is the hub's name of the reason, such as
    /// `GatedRepo`; empty if it gives none.
    case unauthorized(url: String, status: Int, message: String, code: String = "")
    /// A signed URL expired before all bytes had arrived, and so did the URLs that replaced it.
    case expired(url: String, status: Int)
    /// Any other error status: of the first attempt, or of the last one if the request was repeated.
    case refused(url: String, status: Int, expected: String, attempts: Int)
    /// The server returned an HTML page instead of a file.
    case pageInsteadOfFile(url: String, status: Int, contentType: String)
    /// The response has another length than expected, in bytes.
    case wrongLength(url: String, status: Int, expected: Int, found: Int)
    /// The response contains another range than requested.
    case wrongRange(url: String, status: Int, expected: String, found: String)
    /// More than `limit` redirects in a row.
    case tooManyRedirects(url: String, status: Int, limit: Int)
    /// A redirect that is not followed: to an invalid URL, from https to http, or of a listing to another host.
    case badRedirect(url: String, status: Int, location: String)
    /// No byte arrived for `seconds`, in each attempt.
    case stalled(url: String, seconds: Double, attempts: Int)
    /// The connection failed or broke, in each attempt.
    case disconnected(url: String, reason: String, attempts: Int)
    /// The server's certificate is not trusted, or the server does not speak TLS. No request was sent.
    case untrusted(url: String, reason: String)
    /// The response violates the protocol.
    case malformed(url: String, expected: String, found: String)
    /// The bytes differ from the published digest, and were rejected.
    case wrongDigest(url: String, expected: String, found: String)
    /// No origin is known for these bytes.
    case noOrigin(name: String)
    /// The URL is not that of an origin, or a setting of its connections cannot be used.
    case unusable(url: String, reason: String)
    /// The credentials for the origin are missing or cannot be sent, or those for the proxy are rejected. The origin
    /// received no request.
    case badCredentials(url: String, reason: String)
}

extension FetchError: CustomStringConvertible {
    /// The failure, and the URL that it concerns, without secrets.
    public var description: String { text.withoutURLSecrets }

    private var text: String {
        switch self {
        case .notFound(let what, let url, let status):
            """
            \(url): \(status.map { "status \($0): " } ?? "")no such \(what).\
            \(what == "model" ? " If it is private, set HF_TOKEN to a token that can read it." : "")
            """
        case .commitGone(let model, let commit, let url):
            """
            \(url): no longer has commit \(commit) of \(model): its history was rewritten. The files of it that the store \
            holds stay.
            """
        case .unauthorized(let url, let status, let message, _):
            """
            \(url): status \(status): access denied\(message.isEmpty ? "" : " (\(message))"). Set HF_TOKEN to a token \
            that can read it, or request access on the model's page.
            """
        case .expired(let url, let status):
            """
            \(url): status \(status): the signed URL expired, and so did its replacements. Check the clock of this \
            machine.
            """
        case .refused(let url, let status, let expected, let attempts):
            "\(url): status \(status), expected \(expected)\(attempts > 1 ? " (attempts: \(attempts))" : "")."
        case .pageInsteadOfFile(let url, let status, let type):
            """
            \(url): status \(status): received a page (\(type)), expected the bytes of a file. Check for a proxy or a \
            login page in between.
            """
        case .wrongLength(let url, let status, let expected, let found):
            "\(url): status \(status): \(found) bytes, expected \(expected)."
        case .wrongRange(let url, let status, let expected, let found):
            "\(url): status \(status): returned \(found), expected \(expected)."
        case .tooManyRedirects(let url, let status, let limit):
            "\(url): status \(status): more than \(limit) redirects in a row."
        case .badRedirect(let url, let status, let location):
            "\(url): status \(status): redirect to \(location) rejected: invalid, less secure, or to another host."
        case .stalled(let url, let seconds, let attempts):
            "\(url): no byte arrived for \(seconds) s (attempts: \(attempts))."
        case .disconnected(let url, let reason, let attempts):
            "\(url): \(reason) (attempts: \(attempts))."
        case .untrusted(let url, let reason):
            "\(url): not trusted: \(reason)."
        case .malformed(let url, let expected, let found):
            "\(url): \(found), expected \(expected)."
        case .wrongDigest(let url, let expected, let found):
            "\(url): the bytes have \(found), expected \(expected). They were rejected; fetch again."
        case .noOrigin(let name):
            "\(name): not in the store, and no known origin has it."
        case .unusable(let url, let reason), .badCredentials(let url, let reason):
            "\(url): \(reason)."
        }
    }
}
