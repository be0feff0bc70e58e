import HTTPTypes
import WireFormats

extension HubError {
    var status: HTTPResponse.Status {
        switch self {
        case .badRequest: .badRequest
        case .unauthorized: .unauthorized
        case .outOfScope: .forbidden
        case .upstreamDenied(let status, _, _): status == 401 ? .unauthorized : .forbidden
        case .noPage, .otherRepository, .noModel, .noRevision, .noFile, .partial: .notFound
        case .method: .methodNotAllowed
        case .preconditionFailed: .preconditionFailed
        case .range: .rangeNotSatisfiable
        case .unavailable, .underWay: .serviceUnavailable
        // The number that proxies use; only the log shows it.
        case .clientGone: HTTPResponse.Status(code: 499)
        case .failed: .internalServerError
        }
    }

    /// Whether the operator of the server can mend it, and not the client.
    var isOfServer: Bool {
        if case .upstreamDenied = self { return code != "RepoNotFound" }
        return status.kind == .serverError
    }

    var fields: HTTPFields {
        var fields: HTTPFields = [.xErrorMessage: message]
        if let code { fields[.xErrorCode] = code }
        switch self {
        case .unauthorized: fields[.wwwAuthenticate] = "Bearer realm=\"weightstore\", Basic realm=\"weightstore\""
        case .upstreamDenied(401, _, _): fields[.wwwAuthenticate] = "Bearer realm=\"upstream\""
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
    /// Why files of the revision are missing, or may be.
    static let xPartial = HTTPField.Name("X-Weightstore-Partial")!
    /// The version of the store that a name without a ref was read as.
    static let xVersion = HTTPField.Name("X-Weightstore-Version")!
    static let xLinkedETag = HTTPField.Name("X-Linked-Etag")!
    static let xLinkedSize = HTTPField.Name("X-Linked-Size")!
}
