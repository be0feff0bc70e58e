/// Adds models and files to the store that a client requests and the store lacks. A ``HubServer`` calls it before it
/// responds with 404.
public protocol PullThrough: Sendable {
    /// Adds a revision of a model: its files, or at least their list.
    ///
    /// Cancelling the task ends the pull.
    ///
    /// - Parameter revision: a ref, a tag or a commit.
    /// - Returns: false if no source has it.
    /// - Throws: ``FetchError``: a source's own answer, which clients receive; other errors.
    func pull(model: String, revision: String) async throws -> Bool

    /// Adds a file of a revision that is in the store without the file, or without its bytes.
    ///
    /// Called for every file that a client requests and the store lacks. Clients request many files that few models
    /// have, so a negative result must be cheap.
    ///
    /// - Returns: false if no source has it.
    func pull(file path: String, model: String, revision: String) async throws -> Bool

    /// The time after which a stored ref is compared with the source; nil if refs are not compared.
    var revalidationInterval: Duration? { get }

    /// Finds the commit that a ref names at the source now. If it is another one than the store's, its revision is added
    /// as ``pull(model:revision:)`` does, and the ref moves to it.
    ///
    /// - Parameter commit: the commit of the ref in the store.
    /// - Returns: nil if the source has no such ref.
    /// - Throws: ``FetchError``, other errors. The ref then stays.
    func revalidate(ref: String, of model: String, commit: String) async throws -> String?
}

extension PullThrough {
    /// Adds nothing.
    public func pull(file path: String, model: String, revision: String) async throws -> Bool { false }

    /// nil: refs are not compared.
    public var revalidationInterval: Duration? { nil }

    /// The commit of the store.
    public func revalidate(ref: String, of model: String, commit: String) async throws -> String? { commit }
}
