/// Adds revisions that clients request and the store lacks, and the files that a revision lacks. A ``HubServer`` calls it
/// before it responds with 404.
public protocol PullThrough: Sendable {
    /// Adds a revision of a model: its files, or at least their list.
    ///
    /// Cancelling the task ends the pull.
    ///
    /// - Parameter revision: a ref, a tag or a commit.
    /// - Returns: false if no source has it.
    /// - Throws: ``FetchError``: a source's own answer, which clients receive; other errors.
    func pull(model: String, revision: String) async throws -> Bool

    /// Whether a source may have files of a revision that the store lacks, as far as that is known without a request.
    /// Blocks briefly.
    ///
    /// Called before ``complete(model:revision:)``, which waits for the sources. Clients request many files that few models
    /// have, so a negative result must be cheap.
    ///
    /// - Throws: the error of an earlier attempt that is not repeated yet; other errors.
    func mayComplete(model: String, revision: String) throws -> Bool

    /// Adds the files that a revision of the store lacks, or at least their list.
    ///
    /// Called when a client requests a list of the files, or one that the revision lacks. Cancelling the task ends it.
    ///
    /// - Returns: false if no source has more files of it.
    func complete(model: String, revision: String) async throws -> Bool

    /// The time after which a stored ref is compared with the source; nil if refs are not compared.
    var revalidationInterval: Duration? { get }

    /// Finds the commit that a ref names at the source now. If it is another one than the store's, its revision is added
    /// as ``pull(model:revision:)`` does, and the ref moves to it.
    ///
    /// - Parameter commit: the commit of the ref in the store; nil if the store has no such ref.
    /// - Returns: nil if the source has no such ref.
    /// - Throws: ``FetchError``, other errors. The ref then stays.
    func revalidate(ref: String, of model: String, commit: String?) async throws -> String?
}

extension PullThrough {
    /// true: a source may have more files.
    public func mayComplete(model: String, revision: String) throws -> Bool { true }

    /// Adds nothing.
    public func complete(model: String, revision: String) async throws -> Bool { false }

    /// nil: refs are not compared.
    public var revalidationInterval: Duration? { nil }

    /// The commit of the store.
    public func revalidate(ref: String, of model: String, commit: String?) async throws -> String? { commit }
}
