import GRDB

/// The table `origin`: where a model can be had again, the nearest at position 0. This type makes every change to it.
///
/// Which of the model's revisions they hold says `revision.has_origin`. With the first origin and the last, triggers
/// work out anew which shards may be evicted; so origins that stay the same are not written again.
package enum OriginTable {
    package static func set(_ urls: [String], of model: Int64, _ db: Database) throws {
        if try Self.urls(of: model, db) == urls { return }
        try db.execute(sql: "DELETE FROM origin WHERE model_id = ?", arguments: [model])
        for (position, url) in urls.enumerated() {
            try db.execute(
                sql: "INSERT INTO origin (model_id, position, url) VALUES (?, ?, ?)", arguments: [model, position, url])
        }
    }

    /// The nearest first.
    package static func urls(of model: Int64, _ db: Database) throws -> [String] {
        try String.fetchAll(db, sql: "SELECT url FROM origin WHERE model_id = ? ORDER BY position", arguments: [model])
    }

    /// The nearest first; none for a model that is not there.
    package static func urls(ofModel name: String, _ db: Database) throws -> [String] {
        try ModelTable.find(name, db).map { try urls(of: $0, db) } ?? []
    }
}
