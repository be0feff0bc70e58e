import Glibc

/// Errors of files and file systems.
public enum FileError: Error, Sendable, Equatable {
    /// A system call failed; `code` is its `errno`.
    case system(operation: String, path: String, code: Int32)
    /// The disk, or the user's quota on it, is full.
    case diskFull(path: String)
    /// `fileSystem` does not provide the shared memory between processes that SQLite's WAL mode needs.
    case networkFileSystem(path: String, fileSystem: String)
    /// A file is larger than what is read into memory as a whole; `limit` is in bytes.
    case tooLarge(path: String, limit: Int)
    /// The user's limit of locked memory is reached.
    case lockedMemoryLimit(path: String, bytes: Int)
    /// The process has as many mappings as the kernel allows: `limit`, the value of `vm.max_map_count`.
    case mappingLimit(path: String, limit: Int)
}

extension FileError: CustomStringConvertible {
    /// The path, the failure and the next step.
    public var description: String {
        switch self {
        case .system(let operation, let path, let code): "\(path): \(operation): \(String(cString: strerror(code)))"
        case .diskFull(let path): "\(path): no space left on the disk. Everything stored before is intact."
        case .networkFileSystem(let path, let fileSystem):
            "\(path): \(fileSystem) does not support SQLite's write-ahead log. Put the store on a local disk."
        case .tooLarge(let path, let limit):
            "\(path): has more than \(limit) bytes, which is the limit for such a file."
        case .lockedMemoryLimit(let path, let bytes):
            """
            \(path): cannot lock \(bytes) bytes in memory: the limit is reached. Raise it (ulimit -l, or LimitMEMLOCK= \
            in the systemd unit), or turn locking off.
            """
        case .mappingLimit(let path, let limit):
            """
            \(path): cannot be mapped: the process has reached the limit of mappings, vm.max_map_count = \(limit). Raise it: \
            sysctl vm.max_map_count=1048576.
            """
        }
    }
}
