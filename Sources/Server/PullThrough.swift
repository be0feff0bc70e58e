/// Brings into the store what a client asked for and what is not there. Given to a ``HubServer``, which asks it before it
/// answers 404.
public protocol PullThrough: Sendable {
    /// Brings in a revision of a model: its files, or at least their list.
    ///
    /// - Parameter revision: a ref, a tag or a commit.
    /// - Returns: false if it is nowhere to be had.
    func pull(model: String, revision: String) async throws -> Bool

    /// Brings in a file of a revision that is in the store without it, or without its bytes.
    ///
    /// Asked for every file that a client looks for in vain, and clients look for many that few models have: the answer
    /// that it is nowhere to be had must cost little.
    ///
    /// - Returns: false if it is nowhere to be had.
    func pull(file path: String, model: String, revision: String) async throws -> Bool
}

extension PullThrough {
    public func pull(file path: String, model: String, revision: String) async throws -> Bool { false }
}

/// Lets everybody who waits for the same thing wait for one pull.
actor PullGate {
    private struct Key: Hashable {
        let model: String
        let revision: String
        var path: String?
    }

    private let source: (any PullThrough)?
    private var running: [Key: Task<Bool, any Error>] = [:]

    init(_ source: (any PullThrough)?) { self.source = source }

    func pull(model: String, revision: String) async throws -> Bool {
        guard let source else { return false }
        return try await once(Key(model: model, revision: revision)) {
            try await source.pull(model: model, revision: revision)
        }
    }

    func pull(file path: String, model: String, revision: String) async throws -> Bool {
        guard let source else { return false }
        return try await once(Key(model: model, revision: revision, path: path)) {
            try await source.pull(file: path, model: model, revision: revision)
        }
    }

    /// A client that goes away does not end a pull that others wait for, or will ask for again.
    private func once(_ key: Key, _ pull: @escaping @Sendable () async throws -> Bool) async throws -> Bool {
        if let task = running[key] { return try await task.value }
        let task = Task { try await pull() }
        running[key] = task
        defer { running[key] = nil }
        return try await task.value
    }
}
