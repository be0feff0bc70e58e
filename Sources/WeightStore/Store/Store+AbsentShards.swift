import GRDB
import Storage
import Support

extension Store {
    /// The bytes of a revision that are not stored, and whether they can be fetched again, by the catalog.
    ///
    /// - Parameter name: the revision, as in ``Store/revision(_:)``; nil for the whole store.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func absentShards(of name: String? = nil) throws -> AbsentShards {
        try catalog.read { db in try AbsentShards.count(of: name.map { try RevisionRow.find($0, db).id }, db) }
    }

    /// Fetches the shards of a revision that were evicted. Blocks.
    ///
    /// - Parameters:
    ///   - name: the revision, as in ``Store/revision(_:)``.
    ///   - work: counts bytes; cancelling it ends the fetch.
    /// - Throws: as ``refetch(_:work:)``.
    public func fetchEvicted(of name: String, work: Work = Work()) throws {
        let shards = try catalog.read { db in
            let revision = try RevisionRow.find(name, db).id
            return try Row.mapAll(
                db,
                sql: """
                    SELECT digest, bytes FROM shard
                    WHERE state = 'evicted' AND id IN (
                      SELECT extent.shard_id
                      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
                      WHERE revision_file.revision_id = ?)
                    ORDER BY id
                    """, arguments: [revision]
            ) { row in
                (digest: try row.value("digest") as ContentDigest, bytes: try row.size("bytes"))
            }
        }
        try ParallelWork.run(ShardBatch.cut(shards, bytes: \.bytes)) { [self] group in
            try refetch(group: group.map(\.digest), onUse: true, work) { _, result in try result.get() }
        }
    }
}
