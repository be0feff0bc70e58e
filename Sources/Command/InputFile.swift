import Foundation
import Glibc
import WeightStore

/// A file named on the command line: a regular file, a pipe (`<(…)`), or `-` for standard input.
enum InputFile {
    /// The most bytes that are read from a pipe.
    private static let mostBytes = 8 << 30

    /// The whole content. A regular file is mapped, so that a large one occupies no memory of its own.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``FileError/system(operation:path:code:)``.
    static func data(_ path: String) throws -> Data {
        if path == "-" { return Data(try FileSystem.read("/dev/stdin", limit: mostBytes)) }
        var facts = Glibc.stat()
        if stat(path, &facts) == -1, errno == ENOENT {
            throw StorageError.notFound(
                kind: "file", name: path, detail: "Give an existing file, or - for standard input.")
        }
        // Foundation reads neither pipes nor files that report a size of 0.
        guard facts.st_mode & S_IFMT == S_IFREG, facts.st_size > 0 else {
            return Data(try FileSystem.read(path, limit: mostBytes))
        }
        return try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
    }

    static func text(_ path: String) throws -> String { String(decoding: try data(path), as: UTF8.self) }
}
