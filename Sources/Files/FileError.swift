import Glibc

/// Errors of files and file systems.
public enum FileError: Error, Sendable, Equatable {
    /// A system call failed; `code` is its `errno`.
    case system(operation: String, path: String, code: Int32)
    /// The disk, or the user's quota on it, is full. `lacksInodes`: it has free bytes, but cannot hold more files.
    case diskFull(path: String, lacksInodes: Bool = false)
    /// `fileSystem` does not provide the shared memory between processes that SQLite's WAL mode needs.
    case networkFileSystem(path: String, fileSystem: String)
    /// A file is larger than what is read into memory as a whole; `limit` is in bytes.
    case tooLarge(path: String, limit: Int)
    /// The user's limit of locked memory is reached.
    case lockedMemoryLimit(path: String, bytes: Int)
    /// The process has as many mappings as the kernel allows: `limit`, the value of `vm.max_map_count`.
    case mappingLimit(path: String, limit: Int)
    /// The process may open no more files than `limit`; the call needs `needed`.
    case openFileLimit(path: String, limit: Int, needed: Int)
    /// A regular file is expected, and something else is there: `found`, such as "a FIFO".
    case notRegular(path: String, found: String)
}

extension FileError: CustomStringConvertible {
    /// The path, the failure and the next step.
    public var description: String {
        switch self {
        case .system(let operation, let path, let code): "\(path): \(operation): \(Self.text(of: code))"
        case .diskFull(let path, false): "\(path): no space left on the disk. Everything stored before is intact."
        case .diskFull(let path, true):
            """
            \(path): no inodes left on the disk: it has free space, but cannot hold more files. Everything stored before \
            is intact.
            """
        case .networkFileSystem(let path, let fileSystem):
            "\(path): \(fileSystem) does not support SQLite's write-ahead log. Put the store on a local disk."
        case .tooLarge(let path, let limit):
            "\(path): larger than \(limit) bytes, the limit for this kind of file."
        case .lockedMemoryLimit(let path, let bytes):
            """
            \(path): cannot lock \(bytes) bytes in memory: the limit of locked memory is reached. Raise it (ulimit -l, or LimitMEMLOCK= \
            in the systemd unit), or turn locking off.
            """
        case .mappingLimit(let path, let limit):
            """
            \(path): cannot be mapped: the process has reached the limit of mappings, vm.max_map_count = \(limit). Raise it: \
            sysctl vm.max_map_count=1048576.
            """
        case .openFileLimit(let path, let limit, let needed):
            """
            \(path): the limit of open files is \(limit), and at least \(needed) are needed. Raise it: ulimit -n \(needed), or \
            LimitNOFILE=\(needed) in the systemd unit.
            """
        case .notRegular(let path, let found): "\(path): \(found), expected a regular file. Move it out of the store."
        }
    }
}

extension FileError {
    /// The system's description of an `errno`.
    package static func text(of code: Int32) -> String { String(cString: strerror(code)) }

    /// The error of a system call that failed with `code`, its `errno`.
    package static func failed(_ operation: String, _ path: String, _ code: Int32) -> FileError {
        switch code {
        case ENOSPC, EDQUOT: .diskFull(path: path, lacksInodes: FileSystem.lacksInodes(path))
        case EMFILE: OpenFiles.tooFew(path)
        default: .system(operation: operation, path: path, code: code)
        }
    }

    /// Whether the disk is full.
    package var isDiskFull: Bool {
        if case .diskFull = self { true } else { false }
    }

    /// What is wrong with an unreadable file, for a report of damage that names it.
    package var damage: String {
        if case .notRegular(_, let found) = self { return "\(found), expected a regular file" }
        return "cannot be read: \(self)"
    }

    /// Whether a read failed because bytes that the file should have could not be read: an unreadable sector, a damaged file
    /// system, a file that its server no longer knows, or something else in its place. It is damage of the file, and says
    /// nothing about others.
    package var isUnreadable: Bool {
        switch self {
        case .system(_, _, let code): [EIO, EUCLEAN, ESTALE].contains(code)
        case .notRegular: true
        default: false
        }
    }
}
