import GRDB

/// The number of durable commits made to a store: the setting `store.commits`, repeated in `write.lock`.
///
/// `Catalog.write` advances it in the transaction of every durable commit that changes a row, and notes it in
/// `write.lock` after the commit, under the lock. A crash between the two, and a power cut, leave a note that lags,
/// which is harmless. A catalog whose counter is *below* the note lacks commits: an older copy was put back. It counts
/// as older, whatever is committed to it, until `raise` accepts it.
///
/// Commits that may be lost (`durable: false`: counts of uses, KV blocks) do not advance it: after a power cut the
/// catalog may lack them although the note is on the disk.
package enum CommitCounter {
    private static let name = "store.commits"

    /// The catalog's counter.
    package static func value(_ db: Database) throws -> Int { try SettingTable.get(name, db) ?? 0 }

    /// Counts a commit.
    ///
    /// - Parameter noted: the counter in `write.lock`.
    /// - Returns: the new value; nil if the catalog is older, and stays so.
    static func advance(notBelow noted: Int, _ db: Database) throws -> Int? {
        let value = try value(db)
        guard value >= noted else { return nil }
        let next = value.adding(saturating: 1)
        try SettingTable.set(name, next, db)
        return next
    }

    /// Raises the counter, so that the catalog is no longer older than the blobs.
    ///
    /// - Parameter noted: the counter in `write.lock`.
    package static func raise(to noted: Int, _ db: Database) throws {
        if try value(db) < noted { try SettingTable.set(name, noted, db) }
    }
}
