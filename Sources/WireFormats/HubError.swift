import Support
import WeightStore

/// An error response. Its message reaches the client, and contains nothing that the client sent.
package enum HubError: Error, Equatable {
    case badRequest(String)
    /// The token is missing or wrong.
    case unauthorized(isMissing: Bool)
    /// The token does not allow the request.
    case outOfScope
    /// The upstream hub requires a token of the server, or rejects it: its status, 401 or 403, its name of the reason, and
    /// its message. Another request gets the same answer.
    case upstreamDenied(status: Int, code: String?, message: String)
    case noPage
    /// The server has models only.
    case otherRepository(OtherRepository)
    case noModel
    case noRevision
    /// - Parameter commit: of the revision that has no such file; the client remembers it.
    case noFile(commit: String?)
    /// The store may lack the file, because it has only some files of the revision. The client must not remember that
    /// the file does not exist.
    case partial(reason: String)
    case method(allowed: String)
    case preconditionFailed
    /// The range selects none of the `bytes`.
    case range(bytes: Int)
    /// The bytes are not available now.
    case unavailable(String)
    /// The bytes are being fetched.
    case underWay
    /// The client closed its connection before the response.
    case clientGone
    case failed

    /// Maps an error of the store or of a pull to a response.
    package init(_ error: any Error) {
        switch error {
        case let error as HubError: self = error
        default: self.init(StoreError(error).cause)
        }
    }

    private init(_ error: StoreError) {
        switch error {
        case .storage(.notFound(kind: "model", _, _)): self = .noModel
        case .storage(.notFound(kind: "file", _, _)): self = .noFile(commit: nil)
        case .storage(.notFound), .storage(.ambiguous): self = .noRevision
        case .storage(.missing), .storage(.removed), .storage(.readOnly):
            self = .unavailable("some of the bytes are not in the store")
        case .storage(.damaged): self = .unavailable("some of the bytes are damaged")
        case .storage(.busy): self = .unavailable("the store is busy")
        case .cancelled: self = .unavailable("the server is stopping")
        case .fetch(.unauthorized(_, let status, let message, let code)):
            self = .upstreamDenied(
                status: status, code: code.isEmpty ? nil : Self.word(code), message: Self.text(message))
        // A hub may answer 401 for a model that does not exist.
        case .fetch(.notFound("model", _, let status?)) where status == 401 || status == 403:
            self = .upstreamDenied(status: status, code: "RepoNotFound", message: "")
        case .fetch(.notFound("model", _, _)): self = .noModel
        case .fetch(.commitGone): self = .partial(reason: Self.commitGone)
        case .fetch(.notFound("revision", _, _)): self = .noRevision
        case .fetch(.notFound(let what, _, _)) where what.hasBytePrefix("file"): self = .noFile(commit: nil)
        case .fetch: self = .unavailable("the upstream hub did not return the requested bytes")
        default: self = .failed
        }
    }

    /// Why files of a revision are missing whose commit was removed from the upstream hub.
    package static let commitGone = "the upstream hub no longer has its commit"
    /// Why it is not known whether files of a revision are missing.
    package static let upstreamFailed = "the upstream hub, which may have more files, did not answer"

    /// Another server's text, without characters that a header field or JSON would have to escape.
    private static func text(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.prefix(200).map { 0x20...0x7E ~= $0.value && $0 != "\"" && $0 != "\\" ? $0 : " " }))
    }

    private static func word(_ text: String) -> String { Self.text(text).filter { $0 != " " } }

    /// The Hub's name of the error, by which its client selects the exception.
    package var code: String? {
        switch self {
        case .upstreamDenied(_, let code, _): code
        case .noModel, .otherRepository: "RepoNotFound"
        case .noRevision: "RevisionNotFound"
        case .noFile, .partial: "EntryNotFound"
        default: nil
        }
    }

    package var message: String {
        switch self {
        case .badRequest(let reason): "Bad request: \(reason)"
        case .unauthorized(isMissing: true): "A token is required (Authorization: Bearer)"
        case .unauthorized(isMissing: false): "Invalid credentials in Authorization header"
        case .outOfScope: "This token does not allow the request"
        case .upstreamDenied(_, _, let message) where !message.isEmpty: message
        case .upstreamDenied: "The upstream hub denied access: this server has no token that can read the model"
        case .noPage: "Not found"
        case .otherRepository(let kind):
            "Repository not found: this is a \(kind.rawValue), and this server has models only"
        case .noModel: "Repository not found"
        case .noRevision: "Revision not found"
        case .noFile: "Entry not found"
        case .partial(let reason): "Entry not found among the stored files of the revision: \(reason)"
        case .method(let allowed): "Only \(allowed) is allowed: the server is read-only"
        case .preconditionFailed: "The file does not match If-Match"
        case .range(let bytes): "The range selects none of the \(bytes) bytes"
        case .unavailable(let reason): "Not available: \(reason)"
        case .underWay: "The bytes are being fetched: try again"
        case .clientGone: "The client closed its connection"
        case .failed: "Internal error; the server's log has the reason"
        }
    }
}
