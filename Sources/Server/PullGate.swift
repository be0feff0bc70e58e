import Origins

/// Merges concurrent pulls of the same revision or file into one.
actor PullGate {
    private struct Key: Hashable {
        let model: String
        let revision: String
        var path: String?
        /// Whether it adds files to a revision of the store.
        var isCompletion = false
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

    func complete(model: String, revision: String) async throws -> Bool {
        guard let source else { return false }
        return try await once(Key(model: model, revision: revision, isCompletion: true)) {
            try await source.complete(model: model, revision: revision)
        }
    }

    /// A client that disconnects does not cancel the pull: other clients may wait for it or request it again.
    private func once(_ key: Key, _ pull: @escaping @Sendable () async throws -> Bool) async throws -> Bool {
        if let task = running[key] { return try await task.value }
        let task = Task { try await pull() }
        running[key] = task
        defer { running[key] = nil }
        return try await task.value
    }
}
