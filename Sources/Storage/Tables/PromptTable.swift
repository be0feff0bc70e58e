import Foundation
import GRDB

/// The table `prompt`: token sequences that many requests begin with. This type makes every change to it.
///
/// A prompt belongs to a model, not to a revision, because a new version receives the same requests; it is removed with
/// the model. The model's record contains the tokens, so a rebuild restores the prompt; its counts, like all others,
/// start again at 0.
package enum PromptTable {
    private static let heat = "heat * pow(0.5, max(:now - last_access, 0) / \(Heat.halfLife))"

    /// Inserts a prompt.
    package static func insert(
        _ name: String, _ tokens: TokenList, of model: Int64, createdAt: Int, _ db: Database
    ) throws {
        try db.execute(
            sql: """
                INSERT INTO prompt (model_id, name, digest, tokens, created_at, last_access) VALUES (?, ?, ?, ?, ?, ?)
                """, arguments: [model, name, tokens.digest, tokens.data, createdAt, createdAt])
    }

    /// The name of the prompt with these tokens; nil if there is none.
    package static func find(_ digest: ContentDigest, of model: Int64, _ db: Database) throws -> String? {
        try String.fetchOne(
            db, sql: "SELECT name FROM prompt WHERE model_id = ? AND digest = ?", arguments: [model, digest])
    }

    /// Deletes a prompt.
    ///
    /// - Returns: whether it existed.
    package static func delete(_ name: String, of model: Int64, _ db: Database) throws -> Bool {
        try db.execute(sql: "DELETE FROM prompt WHERE model_id = ? AND name = ?", arguments: [model, name])
        return db.changesCount > 0
    }

    /// Renames a prompt.
    package static func rename(_ old: String, to name: String, of model: Int64, _ db: Database) throws {
        try db.execute(
            sql: "UPDATE prompt SET name = ? WHERE model_id = ? AND name = ?", arguments: [name, model, old])
    }

    /// Adds a batch of uses.
    ///
    /// - Parameter last: the time of the last use, in seconds since 1970.
    package static func countUses(of prompt: Int64, _ count: Int, last: Int, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                UPDATE prompt
                SET access_count = access_count + :count, last_access = max(last_access, :last),
                    heat = heat * pow(0.5, max(:last - last_access, 0) / \(Heat.halfLife)) + :count
                WHERE id = :prompt
                """
        ).execute(arguments: ["count": count, "last": last, "prompt": prompt])
    }

    /// The prompts of a model, or of all models if nil, the most used first.
    package static func all(of model: String?, now: Int, _ db: Database) throws -> [Prompt] {
        try Row.mapAll(
            db,
            sql: """
                SELECT model.name AS model, prompt.name, prompt.digest, length(prompt.tokens) / 4 AS tokens,
                       prompt.created_at, prompt.access_count, prompt.last_access, \(heat) AS uses
                FROM prompt JOIN model ON model.id = prompt.model_id
                WHERE :model IS NULL OR model.name = :model
                ORDER BY model.name, uses DESC, prompt.name
                """, arguments: ["model": model, "now": now]
        ) { row in
            try Prompt(
                model: row.value("model"), name: row.value("name"), digest: row.value("digest"),
                tokens: row.value("tokens"),
                created: row.value("created_at"), accesses: row.value("access_count"),
                lastAccess: row.value("last_access"),
                expectedUses: row.value("uses"))
        }
    }

    /// The tokens of a model's prompts, the most used first.
    package static func tokens(
        of model: String, now: Int, _ db: Database
    ) throws -> [(id: Int64, name: String, uses: Double, tokens: [UInt32])] {
        try Row.mapAll(
            db,
            sql: """
                SELECT id, name, \(heat) AS uses, tokens
                FROM prompt
                WHERE model_id = (SELECT id FROM model WHERE name = :model)
                ORDER BY uses DESC, name
                """, arguments: ["model": model, "now": now]
        ) { try ($0.value("id"), $0.value("name"), $0.value("uses"), TokenList($0.value("tokens") as Data).tokens) }
    }

    /// The prompts of a model as its record stores them.
    package static func records(of model: Int64, _ db: Database) throws -> [ModelRecord.Prompt] {
        try Row.mapAll(
            db, sql: "SELECT name, tokens, created_at FROM prompt WHERE model_id = ? ORDER BY name", arguments: [model]
        ) {
            try ModelRecord.Prompt(
                name: $0.value("name"), tokens: $0.value("tokens"), createdAt: $0.value("created_at"))
        }
    }
}
