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
    package init(_ row: Row) throws {
        path = try row.path("path")
        bytes = try row.size("bytes")
        digest = try row.value("digest")
        format = try row.value("format")
        id = try row.value("id")
    }
}
