import GRDB

/// The table `origin`: the URLs from which a model can be fetched, the nearest at position 0. This type makes every
/// change to it.
///
/// `revision.has_origin` states which of the model's revisions the origins hold. Inserting the first origin and
/// deleting the last one make triggers recompute which shards may be evicted, so unchanged origins are not written
/// again.
package enum OriginTable {
    /// Replaces the origins of a model.
    package static func set(_ urls: [String], of model: Int64, _ db: Database) throws {
        if try Self.urls(of: model, db) == urls { return }
        try db.execute(sql: "DELETE FROM origin WHERE model_id = ?", arguments: [model])
        for (position, url) in urls.enumerated() {
            try db.execute(
                sql: "INSERT INTO origin (model_id, position, url) VALUES (?, ?, ?)", arguments: [model, position, url])
        }
    }

    /// The origins of a model, the nearest first.
    package static func urls(of model: Int64, _ db: Database) throws -> [String] {
        try String.fetchAll(db, sql: "SELECT url FROM origin WHERE model_id = ? ORDER BY position", arguments: [model])
    }

    /// The origins of a model, the nearest first; empty if the model does not exist.
    package static func urls(ofModel name: String, _ db: Database) throws -> [String] {
        try ModelTable.find(name, db).map { try urls(of: $0, db) } ?? []
    }
}
