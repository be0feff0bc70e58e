import Foundation
import GRDB

/// The SQL of the table `prompt`, and the one place that has it.
///
/// A prompt belongs to a model, not to a revision: a new version is asked the same questions. It goes with the model. Its
/// tokens stand in the model's record, too, so a rebuild brings it back; its counts, like all others, begin anew then.
package enum PromptRow {
    private static let heat = "heat * pow(0.5, max(:now - last_access, 0) / \(Heat.halfLife))"

    package static func insert(_ name: String, _ tokens: TokenList, of model: Int64, createdAt: Int, _ db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO prompt (model_id, name, digest, tokens, created_at, last_access) VALUES (?, ?, ?, ?, ?, ?)
                """, arguments: [model, name, tokens.digest, tokens.data, createdAt, createdAt])
    }

    package static func find(_ digest: ContentDigest, of model: Int64, _ db: Database) throws -> String? {
        try String.fetchOne(
            db, sql: "SELECT name FROM prompt WHERE model_id = ? AND digest = ?", arguments: [model, digest])
    }

    /// - Returns: whether there was one.
    package static func delete(_ name: String, of model: Int64, _ db: Database) throws -> Bool {
        try db.execute(sql: "DELETE FROM prompt WHERE model_id = ? AND name = ?", arguments: [model, name])
        return db.changesCount > 0
    }

    package static func rename(_ old: String, to name: String, of model: Int64, _ db: Database) throws {
        try db.execute(
            sql: "UPDATE prompt SET name = ? WHERE model_id = ? AND name = ?", arguments: [name, model, old])
    }

    package static func count(_ id: Int64, uses: Int, last: Int, _ db: Database) throws {
        try db.cachedStatement(sql: """
            UPDATE prompt
            SET access_count = access_count + :uses, last_access = max(last_access, :last),
                heat = heat * pow(0.5, max(:last - last_access, 0) / \(Heat.halfLife)) + :uses
            WHERE id = :id
            """).execute(arguments: ["uses": uses, "last": last, "id": id])
    }

    /// The prompts of a model, or of all, the most used first.
    package static func all(of model: String?, now: Int, _ db: Database) throws -> [Prompt] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT model.name, prompt.name, prompt.digest, length(prompt.tokens) / 4, prompt.created_at,
                       prompt.access_count, prompt.last_access, \(heat) AS uses
                FROM prompt JOIN model ON model.id = prompt.model_id
                WHERE :model IS NULL OR model.name = :model
                ORDER BY model.name, uses DESC, prompt.name
                """, arguments: ["model": model, "now": now]
        ).map { row in
            Prompt(
                model: row[0], name: row[1], digest: row[2], tokens: row[3], created: row[4], accesses: row[5],
                lastAccess: row[6], expectedUses: row[7])
        }
    }

    /// The tokens of a model's prompts, the most used first.
    package static func tokens(of model: String, now: Int, _ db: Database) throws -> [(id: Int64, name: String, uses: Double, tokens: [UInt32])] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT id, name, \(heat) AS uses, tokens
                FROM prompt
                WHERE model_id = (SELECT id FROM model WHERE name = :model)
                ORDER BY uses DESC, name
                """, arguments: ["model": model, "now": now]
        ).map { ($0[0], $0[1], $0[2], TokenList($0[3] as Data).tokens) }
    }

    /// What the model's record says of them.
    package static func records(of model: Int64, _ db: Database) throws -> [ModelRecord.Prompt] {
        try Row.fetchAll(
            db, sql: "SELECT name, tokens, created_at FROM prompt WHERE model_id = ? ORDER BY name", arguments: [model]
        ).map { ModelRecord.Prompt(name: $0[0], tokens: $0[1], createdAt: $0[2]) }
    }
}
