import Files
import GRDBSQLite
import Glibc
import Support

/// The files of a catalog that read-only connections open.
///
/// SQLite reads a database in WAL mode through `-shm`, which it must be able to create or to read. So, in this order:
///
/// 1. A process that can write to the store opens `store.db`.
/// 2. If `-wal` and `-shm` exist and can be read, SQLite reads the live database through them, and writes nothing. The
///    store's own processes keep both files when they close it (`Catalog.keepLog`).
/// 3. On a read-only mount without a log, nothing can change: the file is opened as immutable.
/// 4. Otherwise the catalog is copied, together with its log, while the write lock is held shared: a copy is current as of
///    the opening.
final class ReadableCatalog: Sendable {
    /// A path, or a URI.
    let name: String
    /// The directory of a copy, which is removed with the value.
    private let copy: String?

    init(_ path: String, _ access: StoreAccess, lock: String, _ wait: LockWait) throws {
        guard access.isReadOnly else {
            (name, copy) = (path, nil)
            return
        }
        let log = try FileSystem.status(path + "-wal")
        if log != nil, FileSystem.isReadable(path + "-wal"), FileSystem.isReadable(path + "-shm") {
            (name, copy) = (path, nil)
            return
        }
        if try FileSystem.isReadOnlyMount(path), log?.bytes ?? 0 == 0, sqlite3_compileoption_used("USE_URI") == 1 {
            (name, copy) = ("file:\(PercentEncoding.encode(path, keepingSlashes: true))?immutable=1", nil)
            return
        }
        let directory = try Self.temporaryDirectory()
        copy = directory
        name = directory + "/store.db"
        do {
            try Self.copy(path, to: name, lock: lock, wait)
        } catch {
            // The error says why; what was copied is useless.
            try? FileSystem.removeTree(directory)
            throw error
        }
    }

    deinit { removeCopy() }

    /// Removes the copy. Open connections stay usable.
    func removeCopy() {
        guard let copy else { return }
        // A directory that cannot be removed stays among the temporary files.
        try? FileSystem.removeTree(copy)
    }

    private static func temporaryDirectory() throws(FileError) -> String {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/weightstore-catalog-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw .system(operation: "mkdtemp", path: parent, code: errno)
        }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Copies a catalog and its log. Nothing is committed meanwhile, as every commit holds the lock.
    private static func copy(_ old: String, to new: String, lock path: String, _ wait: LockWait) throws {
        guard let lock = try FileDescriptor.openIfPresent(path) else {
            throw StorageError.catalogDamaged(path: path, message: "missing")
        }
        _ = try lock.lock(shared: true, wait)
        for suffix in ["", "-wal"] { try copy(old + suffix, to: new + suffix) }
        lock.unlock()
    }

    private static func copy(_ old: String, to new: String) throws {
        guard let source = try FileDescriptor.openIfPresent(old) else { return }
        let target = try FileDescriptor(new, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        var offset = 0
        while true {
            let count = try source.read(at: offset, into: buffer)
            try target.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset)
            if count < buffer.count { return }
            offset += count
        }
    }
}
