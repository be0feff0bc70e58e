import GRDB
import Storage
import Support

extension Store {
    /// Registers a common prompt of a model.
    ///
    /// If the tokens are registered already, they keep their counts, and are renamed if a name is given. If the name
    /// exists with other tokens, it is reassigned to these.
    ///
    /// - Parameters:
    ///   - model: the name of the model.
    ///   - tokens: the token ids as the engine sees them, from the first.
    ///   - name: 1 to 200 letters, digits, `.`, `_` and `-`; nil means the first digits of the tokens' digest.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``StorageError/invalid(what:value:reason:)``.
    @discardableResult
    public func addPrompt(_ tokens: [UInt32], name: String? = nil, to model: String) throws -> Prompt {
        guard 1...TokenList.maximumCount ~= tokens.count else {
            throw StorageError.invalid(
                what: "prompt", value: name ?? model,
                reason: "has \(tokens.count) tokens; must have 1 to \(TokenList.maximumCount)")
        }
        let list = TokenList(tokens)
        let digest = list.digest
        if let name { try Self.checkPromptName(name) }
        defer { promptChanges.add(1, ordering: .relaxed) }
        let added: Prompt? = try change().commit { db in
            let id = try ModelTable.id(of: model, db)
            let known = try PromptTable.find(digest, of: id, db)
            let name = name ?? known ?? digest.short
            if name != known {
                _ = try PromptTable.delete(name, of: id, db)
                if let known {
                    try PromptTable.rename(known, to: name, of: id, db)
                } else {
                    try PromptTable.insert(name, list, of: id, createdAt: StoreClock.now, db)
                }
            }
            return (try PromptTable.all(of: model, now: StoreClock.now, db).first { $0.digest == digest }, [id])
        }
        guard let added else { throw Self.noPrompt(name ?? digest.short, of: model) }
        return added
    }

    /// The prompts of a model, or of all models: sorted by model, the most used first.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` for an unknown model.
    public func prompts(of model: String? = nil) throws -> [Prompt] {
        accesses.flush()
        return try catalog.read { db in
            if let model { _ = try ModelTable.id(of: model, db) }
            return try PromptTable.all(of: model, now: StoreClock.now, db)
        }
    }

    /// The tokens of a prompt.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func tokens(ofPrompt name: String, of model: String) throws -> [UInt32] {
        let all = try catalog.read { db in try PromptTable.tokens(of: model, now: StoreClock.now, db) }
        guard let prompt = all.first(where: { $0.name == name }) else { throw Self.noPrompt(name, of: model) }
        return prompt.tokens
    }

    /// Removes a prompt. Its KV blocks stay until they are evicted.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func removePrompt(_ name: String, of model: String) throws {
        defer { promptChanges.add(1, ordering: .relaxed) }
        try change().commit { db in
            let id = try ModelTable.id(of: model, db)
            guard try PromptTable.delete(name, of: id, db) else { throw Self.noPrompt(name, of: model) }
            return ((), [id])
        }
    }

    private static func noPrompt(_ name: String, of model: String) -> StorageError {
        .notFound(kind: "prompt", name: "\(model) \(name)")
    }

    private static func checkPromptName(_ name: String) throws {
        guard 1...200 ~= name.utf8.count,
            name.isASCIIWord(and: "._-")
        else {
            throw StorageError.invalid(
                what: "prompt name", value: name,
                reason: "must have 1 to 200 characters, of letters, digits, \".\", \"_\" and \"-\"")
        }
    }
}
