/// Brings into the store what a client asked for and what is not there. Given to a ``HubServer``, which asks it before it
/// answers 404.
public protocol PullThrough: Sendable {
    /// Brings in a revision of a model: its files, or at least their list.
    ///
    /// - Parameter revision: a ref, a tag or a commit.
    /// - Returns: false if no source has it.
    func pull(model: String, revision: String) async throws -> Bool

    /// Brings in a file of a revision that is in the store without it, or without its bytes.
    ///
    /// Asked for every file that a client looks for in vain, and clients look for many that few models have: the answer
    /// that no source has it must cost little.
    ///
    /// - Returns: false if no source has it.
    func pull(file path: String, model: String, revision: String) async throws -> Bool
}

extension PullThrough {
    public func pull(file path: String, model: String, revision: String) async throws -> Bool { false }
}
