import CLinux
import Glibc
import Synchronization

/// An open file, closed when the value is destroyed.
///
/// The methods are thin wrappers over system calls; every error names the path.
package struct FileDescriptor: ~Copyable, Sendable {
    package let raw: Int32
    package let path: String
    private let isLocked = Atomic(false)

    /// Opens `path`. The corresponding C function is `open`; `O_CLOEXEC` is always set.
    package init(_ path: String, _ flags: Int32, mode: mode_t = 0o666) throws(FileError) {
        raw = try retrying("open", path) { Glibc.open(path, flags | O_CLOEXEC, mode) }
        self.path = path
    }

    private init(raw: Int32, path: String) {
        self.raw = raw
        self.path = path
    }

    deinit {
        // Closing alone leaves a lock in place as long as a child that was forked meanwhile has a copy of the
        // descriptor, which is until it runs its program.
        if isLocked.load(ordering: .relaxed) { unlock() }
        close(raw)
    }

    /// Makes an empty file in memory.
    static func inMemory() throws(FileError) -> FileDescriptor {
        let raw = clinux_memory_file()
        guard raw >= 0 else { throw .system(operation: "memfd_create", path: "memory", code: errno) }
        return FileDescriptor(raw: raw, path: "memory")
    }

    /// Opens a regular file. Everything in a store is opened so: what lies in place of one of its files, such as a FIFO, is
    /// neither waited for nor read.
    ///
    /// - Throws: ``FileError/notRegular(path:found:)``.
    static func regular(_ path: String, _ flags: Int32) throws(FileError) -> FileDescriptor {
        do throws(FileError) {
            let file = try opened(path, flags)
            let status = try file.status()
            guard status.isFile else { throw FileError.notRegular(path: path, found: status.kind) }
            return file
        } catch {
            switch error {
            case .system(_, _, EISDIR): throw .notRegular(path: path, found: "a directory")
            case .system(_, _, ELOOP) where flags & O_NOFOLLOW != 0:
                throw .notRegular(path: path, found: "a symbolic link")
            case .system(_, _, ENXIO): throw .notRegular(path: path, found: "a socket, a FIFO or a device")
            default: throw error
            }
        }
    }

    /// Opens a file without a wait. Only for a regular file that a lease of another program holds (`F_SETLEASE`), such as a
    /// file server's, the kernel waits until that program has released it.
    private static func opened(_ path: String, _ flags: Int32) throws(FileError) -> FileDescriptor {
        do throws(FileError) {
            return try FileDescriptor(path, flags | O_NONBLOCK)
        } catch {
            guard case .system(_, _, EAGAIN) = error,
                try FileSystem.status(path, following: flags & O_NOFOLLOW == 0)?.isFile == true
            else { throw error }
            return try FileDescriptor(path, flags)
        }
    }

    /// Opens a regular file for reading. A symbolic link to one is followed.
    ///
    /// - Returns: nil if the path does not exist.
    /// - Throws: ``FileError/notRegular(path:found:)``.
    package static func openIfPresent(_ path: String) throws(FileError) -> FileDescriptor? {
        do {
            return try regular(path, O_RDONLY)
        } catch {
            if case .system(_, _, ENOENT) = error { return nil }
            throw error
        }
    }

    /// As ``openIfPresent(_:)``, in a directory where others may write, for contents that have no digest: a symbolic link is
    /// not followed.
    ///
    /// - Returns: nil if the path does not exist, or is no regular file.
    package static func openRegularIfPresent(_ path: String) throws(FileError) -> FileDescriptor? {
        do {
            return try regular(path, O_RDONLY | O_NOFOLLOW)
        } catch {
            switch error {
            case .system(_, _, ENOENT), .notRegular: return nil
            default: throw error
            }
        }
    }

    /// The status of the file. The corresponding C function is `fstat`.
    package func status() throws(FileError) -> FileStatus {
        var facts = stat()
        try retrying("fstat", path) { fstat(raw, &facts) }
        return FileStatus(facts)
    }

    /// Fills `buffer` from `offset`. The corresponding C function is `pread`.
    ///
    /// - Returns: the number of bytes read, less than `buffer.count` only at the end of the file.
    package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = try retrying("read", path) {
                pread(raw, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Reads with a single `pread`: with O_DIRECT, a second one after a short read at the end of the file would be
    /// unaligned.
    package func readOnce(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
        try retrying("read", path) { pread(raw, buffer.baseAddress!, buffer.count, off_t(offset)) }
    }

    /// Another descriptor of the open file, which the caller closes. It shares the position and the flags with this one.
    ///
    /// The corresponding C function is `fcntl` with `F_DUPFD_CLOEXEC`.
    package func duplicate() throws(FileError) -> Int32 {
        try retrying("fcntl", path) { fcntl(raw, F_DUPFD_CLOEXEC, 0) }
    }

    /// Reads a small file, a pipe or a file in /proc to its end; the last two report a size of 0.
    ///
    /// The corresponding C function is `read`.
    ///
    /// - Parameter limit: the most bytes that are read into memory.
    /// - Throws: ``FileError/tooLarge(path:limit:)`` for a larger file.
    package func readAll(limit: Int) throws(FileError) -> [UInt8] {
        guard let bytes = try readAll(ifAtMost: limit) else { throw .tooLarge(path: path, limit: limit) }
        return bytes
    }

    /// As `readAll(limit:)`; nil for a larger file.
    package func readAll(ifAtMost limit: Int) throws(FileError) -> [UInt8]? {
        let size = try status().bytes
        guard size <= limit else { return nil }
        // One byte more than the size, so that the read that reports the end needs no larger buffer.
        var bytes = [UInt8](repeating: 0, count: max(size + 1, 4096))
        var done = 0
        while true {
            let count = try retrying("read", path) {
                bytes.withUnsafeMutableBytes { Glibc.read(raw, $0.baseAddress! + done, $0.count - done) }
            }
            if count == 0 { break }
            done += count
            guard done <= limit else { return nil }
            if done == bytes.count { bytes += [UInt8](repeating: 0, count: bytes.count) }
        }
        bytes.removeLast(bytes.count - done)
        return bytes
    }

    /// Switches O_DIRECT, with which reads and writes bypass the page cache.
    ///
    /// - Returns: false if the file system does not support it.
    package func setDirect(_ on: Bool) -> Bool {
        let flags = fcntl(raw, F_GETFL)
        let wanted = on ? flags | clinux_O_DIRECT : flags & ~clinux_O_DIRECT
        return flags == wanted || fcntl(raw, F_SETFL, wanted) == 0
    }

    /// Writes all of `buffer` at `offset`. The corresponding C function is `pwrite`.
    package func write(_ buffer: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        var done = 0
        while done < buffer.count {
            done += try retrying("write", path) {
                pwrite(raw, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
            }
        }
    }

    /// Makes data and metadata durable. The corresponding C function is `fsync`.
    ///
    /// Never repeat it after a failure: the second call may succeed although the data did not reach the disk.
    package func sync() throws(FileError) {
        try retrying("fsync", path) { fsync(raw) }
    }

    /// Starts to write dirty pages without waiting, so that several files are written in parallel before they are
    /// synced. The corresponding C function is `sync_file_range`.
    ///
    /// - Throws: the error of pages for which there is no place on the disk. ext4 drops these, and no sync reports it again.
    func startWriteback() throws(FileError) { try retrying("sync_file_range", path) { clinux_start_writeback(raw) } }

    /// Writes dirty pages, waits for them and for writes that have begun, and throws if one has failed. The corresponding
    /// C function is `sync_file_range`, which makes no size and no place of a file durable.
    func finishWriteback() throws(FileError) {
        try retrying("sync_file_range", path) { clinux_finish_writeback(raw) }
    }

    /// Throws if pages of the file could not be written to its disk since the descriptor was opened. One call reports a
    /// failure; the next one does not.
    func reportFailedWrite() throws(FileError) {
        try retrying("sync_file_range", path) { clinux_report_failed_write(raw) }
    }

    /// Makes everything on the file's file system durable. The corresponding C function is `syncfs`.
    func syncFileSystem() throws(FileError) { try retrying("syncfs", path) { clinux_sync_file_system(raw) } }

    /// As `sync`, without the timestamps. The corresponding C function is `fdatasync`.
    func syncData() throws(FileError) {
        try retrying("fdatasync", path) { fdatasync(raw) }
    }

    /// Sets the size of the file. The corresponding C function is `ftruncate`.
    package func truncate(to bytes: Int) throws(FileError) {
        try retrying("ftruncate", path) { ftruncate(raw, off_t(bytes)) }
    }

    /// Sets the permissions. The corresponding C function is `fchmod`.
    func setMode(_ mode: mode_t) throws(FileError) {
        try retrying("fchmod", path) { fchmod(raw, mode) }
    }

    /// Locks the file, without waiting. The corresponding C function is `flock`.
    ///
    /// - Returns: false if another descriptor holds the lock.
    package func tryLock(shared: Bool = false) throws(FileError) -> Bool {
        let locked = try Self.tryLock(raw, path, shared: shared)
        if locked { noteLock() }
        return locked
    }

    /// Notes that the file is locked, so that closing it unlocks it.
    func noteLock() { isLocked.store(true, ordering: .relaxed) }

    static func tryLock(_ raw: Int32, _ path: String, shared: Bool) throws(FileError) -> Bool {
        do {
            try retrying("flock", path) { flock(raw, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) }
            return true
        } catch {
            if case .system(_, _, EWOULDBLOCK) = error { return false }
            throw error
        }
    }

    /// Releases the lock.
    package func unlock() {
        flock(raw, LOCK_UN)
        isLocked.store(false, ordering: .relaxed)
    }
}
