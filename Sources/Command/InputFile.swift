import Foundation
import Glibc
import WeightStore

/// A file that a person names: a regular one, a pipe (`<(…)`), or `-` for standard input.
enum InputFile {
    /// All of it. A regular file is mapped, so that a large one takes no memory.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``FileError/system(operation:path:code:)``.
    static func data(_ path: String) throws -> Data {
        if path == "-" { return Data(try FileSystem.read("/dev/stdin")) }
        var facts = Glibc.stat()
        if stat(path, &facts) == -1, errno == ENOENT {
            throw StorageError.notFound(
                kind: "file", name: path, detail: "Name one that is there, or - for standard input.")
        }
        // Foundation reads neither pipes nor what says that its size is 0.
        guard facts.st_mode & S_IFMT == S_IFREG, facts.st_size > 0 else { return Data(try FileSystem.read(path)) }
        return try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
    }

    static func text(_ path: String) throws -> String { String(decoding: try data(path), as: UTF8.self) }
}
