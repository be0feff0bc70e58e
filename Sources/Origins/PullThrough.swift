/// Adds models and files to the store that a client requests and the store lacks. A ``HubServer`` calls it before it
/// responds with 404.
public protocol PullThrough: Sendable {
    /// Adds a revision of a model: its files, or at least their list.
    ///
    /// - Parameter revision: a ref, a tag or a commit.
    /// - Returns: false if no source has it.
    func pull(model: String, revision: String) async throws -> Bool

    /// Adds a file of a revision that is in the store without the file, or without its bytes.
    ///
    /// Called for every file that a client requests and the store lacks. Clients request many files that few models
    /// have, so a negative result must be cheap.
    ///
    /// - Returns: false if no source has it.
    func pull(file path: String, model: String, revision: String) async throws -> Bool

    /// Adds the files that a revision of the store lacks, or at least their list.
    ///
    /// Called for every list of files that a client requests, so a negative result must be cheap.
    ///
    /// - Returns: false if no source has more files of it.
    func complete(model: String, revision: String) async throws -> Bool
}

extension PullThrough {
    /// Adds nothing.
    public func pull(file path: String, model: String, revision: String) async throws -> Bool { false }

    /// Adds nothing.
    public func complete(model: String, revision: String) async throws -> Bool { false }
}
