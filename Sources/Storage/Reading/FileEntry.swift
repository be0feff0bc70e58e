import GRDB

/// A file of a revision, as far as its one row tells.
package struct FileEntry: Sendable, Hashable {
    package let path: String
    package let bytes: Int
    /// The SHA-256 of the whole file.
    package let digest: ContentDigest
    /// `safetensors`, `gguf` or `other`.
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
