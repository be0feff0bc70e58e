import GRDB
import Storage
import Support

extension Store {
    /// Finds a revision, counts a use of it, and holds it as long as the returned value lives.
    ///
    /// - Parameter name: `model`, `model@ref`, `model@~3`, `model@<commit>` or `model@<digest>` (6 digits or more).
    ///   `model` alone means the ref `main` or, without that ref, the last version. `model@v3` is the ref `v3` or,
    ///   without that ref, version 3.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``StorageError/ambiguous(name:matches:)``.
    public func revision(_ name: String) throws -> Revision { try revision(name, work: nil) }

    /// As ``revision(_:)``. The call waits if another process removes models now.
    ///
    /// - Parameters:
    ///   - name: `org/name`, `org/name@ref`, `org/name@~3` or `org/name@<digest>`.
    ///   - work: cancelling it ends the wait with `CancellationError`.
    public func revision(_ name: String, work: Work?) throws -> Revision {
        let revision = try heldRevision(name, work)
        try noteLocalVersion(name, revision)
        accesses.revision(revision.id)
        return revision
    }

    /// Reports that `v3` was read as a version of this store, where the hub of the model may have a tag of that name.
    private func noteLocalVersion(_ name: String, _ revision: Revision) throws {
        guard let version = revision.version, name.hasByteSuffix("@v\(version)") else { return }
        let isDoubtful = try catalog.read { db in
            try RevisionRow.isLocalName(name, db) && RevisionTable.isOfHub(revision.id, db)
        }
        if isDoubtful {
            logger.notice(
                "\(name): the store has no ref v\(version), so this is its version \(version), @~\(version)")
        }
    }

    /// As `revision`, without counting a use.
    func heldRevision(_ name: String, _ work: Work? = nil) throws -> Revision {
        while true {
            let row = try catalog.read { db in try RevisionRow.find(name, db) }
            let isHeld = try leases.use(.init(model: row.modelName, digest: row.digest), work) {
                try catalog.read { db in try RevisionTable.exists(row.id, db) }
            }
            // Removed between the lookup and the lease: the next lookup throws `notFound`, or finds another revision.
            guard isHeld else {
                try work?.check()
                continue
            }
            return Revision(row, store: self)
        }
    }
}
