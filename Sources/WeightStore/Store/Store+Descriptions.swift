import Files
import GRDB
import Storage

/// Manifests and records: the blobs from which a rebuild makes the catalog. They are made from rows, so a missing or
/// damaged one is rewritten from the rows.
extension Store {
    /// A manifest or a record that is damaged or missing.
    struct BadDescription {
        let name: BlobDirectory.Name
        /// The defect.
        let detail: String
    }

    /// Rewrites manifests and records.
    ///
    /// - Returns: the number of those written, and those that the rows do not give.
    func restore(_ bad: [BadDescription]) throws -> (restored: Int, lost: [BadDescription]) {
        var result = (restored: 0, lost: [BadDescription]())
        for description in bad {
            let isRestored =
                switch description.name.kind {
                case .manifest: try restoreManifest(description.name.digest)
                case .record: try restoreRecord(description.name.digest)
                case .shard: false
                }
            if isRestored {
                let path = blobs.path(description.name.digest, description.name.kind)
                logger.notice("\(path): rewritten from the catalog")
                result.restored += 1
            } else {
                result.lost.append(description)
            }
        }
        return result
    }

    /// The manifests and records that are damaged or missing: their bytes are compared with their digests.
    ///
    /// - Parameter revision: only the manifest of this revision, and the record of its model.
    func badDescriptions(of revision: RevisionRow?) throws -> [BadDescription] {
        let names = try catalog.read { db in
            try revision.map { row in
                [BlobDirectory.Name(digest: row.digest, kind: .manifest)]
                    + (try ModelTable.record(of: row.model, db).map { [.init(digest: $0, kind: .record)] } ?? [])
            } ?? RevisionTable.manifests(db).map { BlobDirectory.Name(digest: $0, kind: .manifest) }
                + ModelTable.records(db).map { BlobDirectory.Name(digest: $0, kind: .record) }
        }
        return try names.compactMap { name in
            // It may be replaced or removed meanwhile.
            guard let detail = try fault(of: name), try isKnown(name) else { return nil }
            return BadDescription(name: name, detail: detail)
        }
    }

    private func fault(of name: BlobDirectory.Name) throws -> String? {
        do {
            guard let file = try FileDescriptor.openIfPresent(blobs.path(name.digest, name.kind)) else {
                return "its file does not exist"
            }
            guard let bytes = try file.readAll(ifAtMost: Manifest.maximumBytes) else {
                return "it has more than \(Manifest.maximumBytes) bytes"
            }
            let found = bytes.withUnsafeBytes { ContentDigest(of: $0) }
            return found == name.digest ? nil : "SHA-256 is \(found.short)"
        } catch {
            guard error.isUnreadable else { throw error }
            return error.damage
        }
    }

    /// Whether a row has the manifest or the record.
    func isKnown(_ name: BlobDirectory.Name) throws -> Bool {
        try catalog.read { db in
            switch name.kind {
            case .manifest: try RevisionTable.hasManifest(name.digest, db)
            case .record: try ModelTable.hasRecord(name.digest, db)
            case .shard: false
            }
        }
    }

    private func restoreManifest(_ digest: ContentDigest) throws -> Bool {
        guard let text = try catalog.read({ db in try Manifest.restored(digest, db) }) else { return false }
        let staged = try change().stage()
        guard try staged.writeWhole(text) == digest else { return false }
        return try catalog.write { db in
            guard try RevisionTable.hasManifest(digest, db) else { return false }
            try blobs.install([(staged, .init(digest: digest, kind: .manifest))])
            return true
        }
    }

    private func restoreRecord(_ digest: ContentDigest) throws -> Bool {
        try change().commit { db in
            guard let model = try ModelTable.model(withRecord: digest, db) else { return (false, []) }
            // A record that is written again has another name, so that its installation leaves a directory in this place.
            if try FileSystem.status(blobs.path(digest, .record), following: false)?.isDirectory == true {
                try blobs.moveToQuarantine(.init(digest: digest, kind: .record))
            }
            return (true, [model])
        }
    }

    /// The names of the revisions that the manifests and records contain.
    func revisions(describedBy name: BlobDirectory.Name) throws -> [String] {
        try catalog.read { db in
            switch name.kind {
            case .manifest: try RevisionRow.all(where: "revision.digest = ?", [name.digest], db).map(\.name)
            case .record: try RevisionRow.all(where: "model.record = ?", [name.digest], db).map(\.name)
            case .shard: []
            }
        }
    }
}
