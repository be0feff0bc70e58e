import Files
import Storage

extension Store {
    /// Writes a consistent copy of the catalog to `store.db` in a directory, while other threads and processes use the
    /// store. A copy from an earlier call is replaced.
    ///
    /// To restore it, put it in place of the store's `store.db` while no process has the store open, remove `store.db-wal`
    /// and `store.db-shm`, and call ``mergeNewer(work:)``: the blobs hold what is newer.
    ///
    /// - Parameter directory: another directory than the store's; created if it is missing.
    /// - Returns: the size of the copy, in bytes.
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` for the store's own directory; ``FileError``.
    @discardableResult
    public func backUp(to directory: String) throws -> Int {
        try FileSystem.createDirectory(directory)
        let directory = try FileSystem.resolve(directory)
        guard directory != path else {
            throw StorageError.invalid(
                what: "directory for a backup", value: directory, reason: "must not be the store's own directory")
        }
        // The counts of uses are part of the copy.
        accesses.flush()
        try catalog.backUp(to: directory + "/store.db")
        return try FileSystem.status(directory + "/store.db")?.bytes ?? 0
    }
}
