import Files
import Storage
import Support

/// The digest that names a blob of a Hugging Face cache, `models--org--name/blobs/<digest>`.
///
/// It is the one that the hub has published. A download that was damaged, or a program that wrote through a link of a
/// snapshot, leaves a blob with other bytes: under the hub's commit these would pass for the hub's own.
enum HubBlob: Equatable {
    /// The SHA-256 of a large file.
    case sha256(ContentDigest)
    /// The SHA-1 by which git names a small file, in hexadecimal digits.
    case git(String)

    /// - Parameter path: a path with links resolved.
    /// - Returns: nil if it is not the path of a blob, or the blob is not named by a digest.
    init?(_ path: String) {
        guard Self.isBlob(path) else { return nil }
        let name = FileSystem.name(of: path)
        if CommitName.isValid(name) {
            self = .git(name)
        } else if let digest = ContentDigest(hex: name), digest.hex == name {
            self = .sha256(digest)
        } else {
            return nil
        }
    }

    /// Whether the path is that of `models--org--name/blobs/…`.
    static func isBlob(_ path: String) -> Bool {
        let blobs = FileSystem.parent(of: path)
        return ByteText(FileSystem.name(of: blobs)) == ByteText("blobs")
            && FileSystem.name(of: FileSystem.parent(of: blobs)).hasBytePrefix(HubCache.prefix)
    }
}
