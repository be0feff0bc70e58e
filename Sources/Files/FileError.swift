import Glibc

/// What can go wrong with files.
public enum FileError: Error, Sendable, Equatable {
    /// A system call failed; `code` is its `errno`.
    case system(operation: String, path: String, code: Int32)
    /// The disk, or the user's quota on it, is full.
    case diskFull(path: String)
    /// WAL mode needs memory shared between processes, which `fileSystem` does not provide.
    case networkFileSystem(path: String, fileSystem: String)
    /// The system lets this user lock no more memory.
    case lockedMemoryLimit(path: String, bytes: Int)
}

extension FileError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .system(let operation, let path, let code): "\(path): \(operation): \(String(cString: strerror(code)))"
        case .diskFull(let path): "\(path): no space left on the disk. Nothing that was stored is lost."
        case .networkFileSystem(let path, let fileSystem):
            "\(path): lies on \(fileSystem), where SQLite's write-ahead log does not work. Put the store on a local disk."
        case .lockedMemoryLimit(let path, let bytes):
            "\(path): \(bytes) bytes can't be locked in memory: the limit is reached. Raise it (ulimit -l, or LimitMEMLOCK= in the systemd unit), or do without locking."
        }
    }
}
