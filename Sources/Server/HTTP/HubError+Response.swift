import HTTPTypes
import WireFormats

extension HubError {
    var status: HTTPResponse.Status {
        switch self {
        case .badRequest: .badRequest
        case .unauthorized: .unauthorized
        case .outOfScope: .forbidden
        case .upstreamDenied(let status): status == 401 ? .unauthorized : .forbidden
        case .noPage, .otherRepository, .noModel, .noRevision, .noFile: .notFound
        case .method: .methodNotAllowed
        case .preconditionFailed: .preconditionFailed
        case .range: .rangeNotSatisfiable
        case .unavailable, .underWay: .serviceUnavailable
        case .failed: .internalServerError
        }
    }

    /// Whether the operator of the server can mend it, and not the client.
    var isOfServer: Bool {
        if case .upstreamDenied = self { return true }
        return status.kind == .serverError
    }

    var fields: HTTPFields {
        var fields: HTTPFields = [.xErrorMessage: message]
        if let code { fields[.xErrorCode] = code }
        switch self {
        case .unauthorized: fields[.wwwAuthenticate] = "Bearer realm=\"weightstore\", Basic realm=\"weightstore\""
        case .upstreamDenied(401): fields[.wwwAuthenticate] = "Bearer realm=\"upstream\""
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
