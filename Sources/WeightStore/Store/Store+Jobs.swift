import GRDB
import Storage

extension Store {
    /// The last run of each job that has run in this store.
    public func jobs() throws -> [JobRecord] {
        try catalog.read { db in try JobRecord.all(db) }
    }

    /// Records the run of a job, in place of the one before.
    ///
    /// - Throws: ``StorageError/readOnly(reason:)`` if the store can only be read.
    public func record(_ job: JobRecord) throws {
        try catalog.write(durable: false) { db in try job.save(db) }
    }
}
