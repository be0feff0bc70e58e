import Files
import Glibc

/// Files that hold a picture.
enum PictureFile {
    /// Writes a picture, and replaces an existing file.
    ///
    /// - Throws: ``FileError``.
    static func write(_ text: String, to path: String) throws {
        let file = try FileDescriptor(path, O_WRONLY | O_CREAT | O_TRUNC)
        try Array((text + "\n").utf8).withUnsafeBytes { bytes in try file.write(bytes, at: 0) }
    }
}
