/// What can go wrong between an origin and the store. URLs in it carry no secrets: no query, no user.
public enum FetchError: Error, Sendable, Equatable {
    /// The origin has no such model, revision, file, shard or manifest.
    case notFound(what: String, url: String, status: Int)
    /// The origin wants a token, or another one.
    case unauthorized(url: String, status: Int, message: String)
    /// A signed URL did not hold until the bytes had come, and neither did the new ones asked for.
    case expired(url: String, status: Int)
    /// Any other status that says no, or the last one after all attempts.
    case refused(url: String, status: Int, expected: String, attempts: Int)
    /// A page for people where a file's bytes were expected.
    case pageInsteadOfFile(url: String, status: Int, contentType: String)
    case wrongLength(url: String, status: Int, expected: Int, found: Int)
    /// The answer is to another range than was asked for.
    case wrongRange(url: String, status: Int, expected: String, found: String)
    case tooManyRedirects(url: String, status: Int, limit: Int)
    /// A redirect to where no request of ours goes, such as from https to http.
    case badRedirect(url: String, status: Int, location: String)
    /// No byte came for this long.
    case stalled(url: String, seconds: Double, attempts: Int)
    /// The connection could not be made, or broke, as often as it was tried.
    case disconnected(url: String, reason: String, attempts: Int)
    /// The server did not show that it is who it should be, or does not speak TLS. Nothing was asked of it.
    case untrusted(url: String, reason: String)
    /// An answer that is not what the protocol says.
    case malformed(url: String, expected: String, found: String)
    /// The bytes are not those whose digest was published. What came was set aside.
    case wrongDigest(url: String, expected: String, found: String)
    /// Nobody is known to have the bytes.
    case noOrigin(name: String)
    /// A URL that no origin is registered for, or credentials that can't be used.
    case unusable(url: String, reason: String)
}

extension FetchError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notFound(let what, let url, let status):
            "\(url): status \(status): no such \(what).\(what == "model" ? " A private one needs a token: set HF_TOKEN." : "")"
        case .unauthorized(let url, let status, let message):
            "\(url): status \(status): not allowed\(message.isEmpty ? "" : " (\(message))"). Set HF_TOKEN to a token that may read it, or ask for access on the model's page."
        case .expired(let url, let status):
            "\(url): status \(status): the signed URL has expired, and new ones do, too. Check this machine's clock."
        case .refused(let url, let status, let expected, let attempts):
            "\(url): status \(status), expected \(expected)\(attempts > 1 ? ", \(attempts) attempts" : "")."
        case .pageInsteadOfFile(let url, let status, let type):
            "\(url): status \(status): a page (\(type)) where the bytes of a file were expected: a proxy or a login page between here and there?"
        case .wrongLength(let url, let status, let expected, let found):
            "\(url): status \(status): \(found) bytes, expected \(expected)."
        case .wrongRange(let url, let status, let expected, let found):
            "\(url): status \(status): answered for \(found), expected \(expected)."
        case .tooManyRedirects(let url, let status, let limit):
            "\(url): status \(status): more than \(limit) redirects, one after the other."
        case .badRedirect(let url, let status, let location):
            "\(url): status \(status): redirected to \(location), expected a place that is as safe."
        case .stalled(let url, let seconds, let attempts):
            "\(url): no byte for \(seconds) s, \(attempts) attempts. What has arrived is kept."
        case .disconnected(let url, let reason, let attempts):
            "\(url): \(reason), \(attempts) attempts. What has arrived is kept."
        case .untrusted(let url, let reason):
            "\(url): not trusted: \(reason)."
        case .malformed(let url, let expected, let found):
            "\(url): \(found), expected \(expected)."
        case .wrongDigest(let url, let expected, let found):
            "\(url): the bytes have \(found), expected \(expected). What came was set aside; run the command again to fetch it anew."
        case .noOrigin(let name):
            "\(name): never fetched, and no origin is known that has it."
        case .unusable(let url, let reason):
            "\(url): \(reason)."
        }
    }
}
