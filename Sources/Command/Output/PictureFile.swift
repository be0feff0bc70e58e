import ArgumentParser
import Files
import Glibc

/// Files that hold a picture.
enum PictureFile {
    /// Refuses a path whose name promises a format that the command does not write.
    ///
    /// - Parameters:
    ///   - option: the option that names the file.
    ///   - suffixes: those of the formats, with their dots.
    /// - Throws: `ValidationError`.
    static func check(_ option: String, _ path: String?, _ suffixes: String...) throws {
        guard let path, !suffixes.contains(where: path.hasSuffix) else { return }
        throw ValidationError("\(option) \(path): the name must end in \(suffixes.joined(separator: " or "))")
    }

    /// Writes a picture, and replaces an existing file.
    ///
    /// - Throws: ``FileError``.
    static func write(_ text: String, to path: String) throws {
        let file = try FileDescriptor(path, O_WRONLY | O_CREAT | O_TRUNC)
        try Array((text + "\n").utf8).withUnsafeBytes { bytes in try file.write(bytes, at: 0) }
    }
}
