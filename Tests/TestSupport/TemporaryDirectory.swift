import Foundation

/// A directory that is removed with the value.
package final class TemporaryDirectory: Sendable {
    package let path: String

    /// - Parameter parent: where to create it; nil means the directory for temporary files.
    package init(in parent: String? = nil) throws {
        let parent = URL(fileURLWithPath: parent ?? NSTemporaryDirectory())
        path = parent.appendingPathComponent("weightstore-test-\(UUID().uuidString.prefix(8))").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        // Leftovers of a test stay in the directory for temporary files.
        try? FileManager.default.removeItem(atPath: path)
    }

    /// A path in the directory.
    package func callAsFunction(_ name: String) -> String { path + "/" + name }

    /// Writes a file, and makes the directories above it.
    @discardableResult
    package func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
        let url = URL(fileURLWithPath: self(name))
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
        return url.path
    }

    @discardableResult
    package func write(_ text: String, to name: String) throws -> String { try write(text.utf8, to: name) }

    /// Paths of all regular files below a directory, relative to it, sorted.
    package static func files(below path: String) -> [String] {
        let all = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
        return all.filter { name in
            var isDirectory: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(path)/\(name)", isDirectory: &isDirectory)
                && !isDirectory.boolValue
        }.sorted()
    }
}

/// All bytes of a file, to the end: of files in /proc, too, whose size is said to be 0, and which are read in pieces.
/// `Data(contentsOf:)` reads only the first piece.
package func contents(_ path: String) throws -> [UInt8] {
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    defer { try? file.close() }
    var bytes: [UInt8] = []
    while let piece = try file.read(upToCount: 1 << 20), !piece.isEmpty { bytes += piece }
    return bytes
}
