import Files
import Glibc
import Support

/// The file `blobs/.store`: it says to which store the blobs belong. Deletions need it, so that an empty mount point is
/// not mistaken for missing blobs.
///
/// Its text is one line: `weightstore store <id>`, with the 32 hexadecimal digits of the setting `store.id`.
package struct StoreMarker: Sendable {
    /// Its name in `blobs/`.
    package static let name = ".store"
    private static let prefix = "weightstore store "
    /// The most bytes of such a file.
    private static let mostBytes = 4096

    let path: String

    package init(_ blobs: BlobDirectory) {
        path = "\(blobs.root)/\(Self.name)"
    }

    /// The id in the file.
    ///
    /// - Returns: nil if there is no such file; the empty text if it holds no id, or is no regular file.
    package func read() throws -> String? {
        do {
            guard let file = try FileDescriptor.openIfPresent(path) else { return nil }
            let text = String(decoding: try file.readAll(limit: Self.mostBytes), as: UTF8.self)
            return text.dropping(bytePrefix: Self.prefix)?.dropping(byteSuffix: "\n") ?? ""
        } catch {
            guard case .notRegular = error else { throw error }
            return ""
        }
    }

    /// Writes the file, durably. Call it under the write lock.
    package func write(_ id: String) throws {
        // A crash may have left an unfinished one.
        try FileSystem.remove(path + ".partial")
        let staged = try StagedFile(path + ".partial")
        try Array("\(Self.prefix)\(id)\n".utf8).withUnsafeBytes { try staged.write($0, at: 0, cached: true) }
        try staged.finish()
        try staged.rename(to: path)
        try FileSystem.syncDirectory(FileSystem.parent(of: path))
    }
}
