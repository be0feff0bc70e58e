import GRDB

/// A file of a revision, without its extents and tensors.
package struct FileEntry: Sendable, Hashable {
    /// The path in the revision.
    package let path: String
    package let bytes: Int
    /// The SHA-256 of the whole file.
    package let digest: ContentDigest
    /// The name of the ``FileFormat``.
    package let format: String
    package let id: Int64
}

extension FileEntry {
    package init(_ row: Row) {
        path = row["path"]
        bytes = row["bytes"]
        digest = row["digest"]
        format = row["format"]
        id = row["id"]
    }
}
