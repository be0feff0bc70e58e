import Foundation
import GRDB
import TestSupport
@testable import WeightStore

/// Inspects a store from outside.
enum Inspection {
    /// The differences between the blobs on the disk and the rows of the catalog, and leftover files.
    static func leftovers(in store: Store) throws -> [String] {
        var onDisk: Set<String> = []
        var differences: [String] = []
        for directory in BlobDirectory.fanOut {
            let (blobs, unknownFiles) = try store.blobs.contents(directory)
            onDisk.formUnion(blobs.map { "\($0.digest)\($0.kind.rawValue)" })
            differences += unknownFiles.map { "unknown file \($0)" }
        }
        let known = try store.catalog.read { db in
            try String.fetchSet(
                db,
                sql: """
                    SELECT lower(hex(digest)) FROM shard
                    UNION SELECT lower(hex(digest)) || '.manifest' FROM revision
                    UNION SELECT lower(hex(record)) || '.record' FROM model WHERE record IS NOT NULL
                    """)
        }
        differences += onDisk.subtracting(known).map { "blob without row \($0)" }
        differences += known.subtracting(onDisk).map { "row without blob \($0)" }
        differences += try store.catalog.read { db in
            try String.fetchAll(
                db, sql: "SELECT 'orphan ' || lower(hex(digest)) FROM shard WHERE orphaned_at IS NOT NULL")
        }
        for folder in try FileSystem.entries(store.path + "/staging") where folder != store.leases.name {
            differences.append("staging/\(folder)")
        }
        if FileSystem.exists(store.path + "/rebuild") { differences.append("rebuild") }
        return differences.sorted()
    }

    /// Models and their versions, as `org/name@~3`.
    static func revisions(in store: Store) throws -> Set<String> {
        var names: Set<String> = []
        for model in try store.models() {
            for revision in try store.revisions(of: model.name) {
                names.insert("\(model.name)@\(revision.version.map { "~\($0)" } ?? "unfinished")")
            }
        }
        return names
    }

    /// Files of a revision that are not, byte for byte, those of a directory.
    static func differences(of name: String, from directory: String, in store: Store) throws -> [String] {
        let revision = try store.revision(name)
        let files = try revision.files().map(\.path)
        let originals = TemporaryDirectory.files(below: directory)
        var differences = Set(files).symmetricDifference(originals).sorted()
        for path in files where originals.contains(path) {
            let original = try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(path)"))
            var offset = 0
            var isSame = true
            try revision.read(path) { bytes in
                isSame =
                    isSame && offset + bytes.count <= original.count
                    && original.withUnsafeBytes { memcmp($0.baseAddress! + offset, bytes.baseAddress!, bytes.count) }
                        == 0
                offset += bytes.count
            }
            if !isSame || offset != original.count { differences.append(path) }
        }
        return differences
    }
}
