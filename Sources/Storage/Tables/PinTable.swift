import GRDB

/// The table `pin`: revisions that an operator has pinned. This type makes every change to it.
///
/// `prune` skips a pinned revision, `rm` rejects it, and triggers keep its shards from eviction. A pin is removed with
/// its revision, and is part of the model's record.
package enum PinTable {
    /// Pins a revision, or changes the note of its pin.
    package static func pin(_ revision: Int64, note: String, _ db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO pin (revision_id, note, created_at) VALUES (?, ?, ?)
                ON CONFLICT (revision_id) DO UPDATE SET note = excluded.note
                """, arguments: [revision, note, StoreClock.now])
    }

    /// Removes a pin.
    ///
    /// - Returns: whether the revision was pinned.
    package static func unpin(_ revision: Int64, _ db: Database) throws -> Bool {
        try db.execute(sql: "DELETE FROM pin WHERE revision_id = ?", arguments: [revision])
        return db.changesCount > 0
    }

    /// The note of a revision's pin; nil if it is not pinned.
    package static func note(of revision: Int64, _ db: Database) throws -> String? {
        try String.fetchOne(db, sql: "SELECT note FROM pin WHERE revision_id = ?", arguments: [revision])
    }

    /// The models that have a pinned revision.
    package static func models(_ db: Database) throws -> Set<Int64> {
        Set(
            try Int64.fetchAll(
                db, sql: "SELECT revision.model_id FROM pin JOIN revision ON revision.id = pin.revision_id"))
    }
}
