import HTTPTypes
import WeightStore

/// An answer that is not what was asked for. The words reach the client: they repeat nothing that it sent.
enum HubError: Error, Equatable {
    case badRequest(String)
    /// The token is missing or wrong.
    case unauthorized(isMissing: Bool)
    case noPage
    case noModel
    case noRevision
    /// - Parameter commit: of the revision that has no such file; the client remembers it.
    case noFile(commit: String?)
    case method(allowed: String)
    case preconditionFailed
    /// The range lies outside of `bytes`.
    case range(bytes: Int)
    /// The bytes are not there now.
    case unavailable(String)
    /// It is on its way here.
    case underWay
    case failed

    /// What an error of the store, or of a pull, is for a client.
    init(_ error: any Error) {
        switch error {
        case let error as HubError: self = error
        default: self.init(StoreError(error))
        }
    }

    private init(_ error: StoreError) {
        switch error {
        case .storage(.notFound(kind: "model", _, _)): self = .noModel
        case .storage(.notFound(kind: "file", _, _)): self = .noFile(commit: nil)
        case .storage(.notFound), .storage(.ambiguous): self = .noRevision
        case .storage(.missing): self = .unavailable("some of the bytes are not in the store")
        case .storage(.damaged): self = .unavailable("some of the bytes are damaged")
        case .storage(.busy): self = .unavailable("the store is busy")
        case .cancelled: self = .unavailable("the server ends")
        case .fetch: self = .unavailable("the hub behind this one does not give it now")
        default: self = .failed
        }
    }

    var status: HTTPResponse.Status {
        switch self {
        case .badRequest: .badRequest
        case .unauthorized: .unauthorized
        case .noPage, .noModel, .noRevision, .noFile: .notFound
        case .method: .methodNotAllowed
        case .preconditionFailed: .preconditionFailed
        case .range: .rangeNotSatisfiable
        case .unavailable, .underWay: .serviceUnavailable
        case .failed: .internalServerError
        }
    }

    /// The Hub's name of it: its client chooses the exception by this.
    var code: String? {
        switch self {
        case .noModel: "RepoNotFound"
        case .noRevision: "RevisionNotFound"
        case .noFile: "EntryNotFound"
        default: nil
        }
    }

    var message: String {
        switch self {
        case .badRequest(let reason): "Bad request: \(reason)"
        case .unauthorized(isMissing: true): "A token is needed (Authorization: Bearer)"
        case .unauthorized(isMissing: false): "Invalid credentials in Authorization header"
        case .noPage: "Not found"
        case .noModel: "Repository not found"
        case .noRevision: "Revision not found"
        case .noFile: "Entry not found"
        case .method(let allowed): "Only \(allowed) here: the server is read-only"
        case .preconditionFailed: "The file is not what If-Match says"
        case .range(let bytes): "The range lies outside of the \(bytes) bytes"
        case .unavailable(let reason): "Not available: \(reason)"
        case .underWay: "On its way here: ask again"
        case .failed: "The server failed; its log says why"
        }
    }

    var fields: HTTPFields {
        var fields: HTTPFields = [.xErrorMessage: message]
        if let code { fields[.xErrorCode] = code }
        switch self {
        case .unauthorized: fields[.wwwAuthenticate] = "Bearer realm=\"weightstore\", Basic realm=\"weightstore\""
        case .noFile(let commit): fields[.xRepoCommit] = commit
        case .method(let allowed): fields[.allow] = allowed
        case .range(let bytes): fields[.contentRange] = "bytes */\(bytes)"
        case .unavailable: fields[.retryAfter] = "10"
        case .underWay: fields[.retryAfter] = "0"
        default: break
        }
        return fields
    }
}

extension HTTPField.Name {
    static let link = HTTPField.Name("Link")!
    static let xErrorCode = HTTPField.Name("X-Error-Code")!
    static let xErrorMessage = HTTPField.Name("X-Error-Message")!
    static let xRepoCommit = HTTPField.Name("X-Repo-Commit")!
    static let xLinkedETag = HTTPField.Name("X-Linked-Etag")!
    static let xLinkedSize = HTTPField.Name("X-Linked-Size")!
}
