import Foundation
import GRDB
import Glibc
import Policies
import Storage
import Synchronization

extension Store {
    /// Whether all processes record their accesses. A process that has the store open applies a change with its next
    /// batch of counts.
    public var recordsAccesses: Bool {
        get throws { try catalog.read(AccessRecorder.isOn) }
    }

    /// Turns the recording of accesses on or off, for all processes.
    public func setRecordsAccesses(_ on: Bool) throws {
        try catalog.write { db in try AccessRecorder.set(on, db) }
        recorder.isOn = on
    }

    /// The existing files of recorded accesses, oldest first.
    public var accessFiles: [String] { AccessRecorder.files(in: path) }
}

extension Store {
    /// The recorded accesses, with the attributes of the shards in the catalog.
    ///
    /// - Parameter last: the most accesses that are read, the last ones; nil reads all.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` if nothing was recorded.
    public func recordedAccesses(last: Int? = nil) throws -> AccessTrace {
        flush()
        guard !accessFiles.isEmpty else {
            throw StorageError.notFound(
                kind: "record of accesses", name: path)
        }
        var trace = try AccessTrace(files: accessFiles)
        if let last { trace.keepLast(last) }
        let candidates = try DiskCandidates(catalog.readableName, [])
        let facts = try candidates.database.prepare(
            """
            SELECT coalesce(fetch_seconds, \(FetchCost.latency) + bytes / \(FetchCost.bytesPerSecond)), layer,
                   layer IS NULL, kind,
                   (SELECT count(DISTINCT revision.model_id)
                    FROM extent
                    JOIN revision_file ON revision_file.file_id = extent.file_id
                    JOIN revision ON revision.id = revision_file.revision_id
                    WHERE extent.shard_id = shard.id)
            FROM main.shard WHERE id = ?
            """)
        try trace.describe { id, object in
            facts.bind(1, Int(id) ?? 0)
            defer { facts.reset() }
            guard try facts.step() else { return }
            object.fetchSeconds = facts.real(0)
            object.layer = facts.integer(2) == 1 ? nil : facts.integer(1)
            object.kind = ShardKind(rawValue: facts.text(3)) ?? .file
            object.modelCount = facts.integer(4)
        }
        return trace
    }
}
