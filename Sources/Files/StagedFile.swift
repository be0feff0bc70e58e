import Glibc
import Support

/// The one durable writer: a file in `staging/`, written front to back, then synced, ready to be installed as a blob.
///
/// Releasing the value deletes the file, unless it was renamed to its final path (``rename(to:)``).
///
/// Sendable because one thread at a time uses it: its shard's serial queue, then the committer.
package final class StagedFile: @unchecked Sendable {
    package let path: String
    fileprivate let file: FileDescriptor
    /// Whether the file remains when the value is released.
    ///
    /// False after a failed sync: the kernel may then take bytes for written that the disk lacks, and a later attempt would
    /// resume from them.
    package private(set) var isKept: Bool
    /// Whether the bytes were synced since they were written.
    private var isDurable = false
    /// The error of bytes that could not be submitted to the disk.
    private(set) var writebackFailure: FileError?
    /// Whether the permissions of the file allow no writes. The open descriptor can still write it.
    private var isReadOnly: Bool
    /// Whether writes bypass the page cache.
    private var isDirect = false
    private var isRenamed = false
    /// A second name, which is renamed instead of `path`.
    private var secondPath: String?
    /// Held as long as the value, for a file that remains.
    private let lock: FileDescriptor?

    /// Creates a file of a store (`StoreFile`), which must not exist. It is read-only from the start, except for this
    /// value.
    package init(_ path: String) throws(FileError) {
        self.path = path
        isKept = false
        isReadOnly = true
        lock = nil
        file = try StoreFile.open(path, O_WRONLY | O_EXCL, mode: 0o444)
    }

    /// Creates a file with a unique name in the directory of `target`, to be renamed to it. The name is random because
    /// two processes in different containers may have the same process id. It begins with that of `target`, as far as 255
    /// bytes allow.
    package init(beside target: String) throws(FileError) {
        let front = String(decoding: FileSystem.name(of: target).utf8.prefix(200), as: UTF8.self)
        let unique = String(UInt64.random(in: 0 ... .max), radix: 36)
        path = "\(FileSystem.parent(of: target))/\(front).\(unique).partial"
        isKept = false
        isReadOnly = false
        lock = nil
        file = try FileDescriptor(path, O_RDWR | O_CREAT | O_EXCL)
    }

    /// Opens a partial file that remains when the value is released, so that a later fetch can resume it.
    ///
    /// - Parameter lock: a locked descriptor of the file.
    package init(keeping lock: consuming FileDescriptor) throws(FileError) {
        path = lock.path
        isKept = true
        isReadOnly = false
        // An earlier `finish` may have made it read-only.
        let permissions = try lock.status().permissions
        if permissions & 0o200 == 0 { try lock.setMode(permissions | permissions >> 1 & 0o222) }
        file = try FileDescriptor(lock.path, O_RDWR)
        self.lock = .some(consume lock)
    }

    deinit {
        if !isKept && !isRenamed { unlink(path) }
    }

    /// The current size, in bytes.
    package func count() throws(FileError) -> Int { try file.status().bytes }

    /// As `FileDescriptor.read`.
    package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
        _ = setDirect(false)
        return try file.read(at: offset, into: buffer)
    }

    /// As `FileDescriptor.truncate`.
    package func truncate(to bytes: Int) throws(FileError) { try file.truncate(to: bytes) }

    /// Writes `bytes` at `offset`.
    ///
    /// Large aligned parts bypass the page cache: this avoids a copy and dirty pages, and keeps the model being served
    /// cached. File systems without O_DIRECT (tmpfs) are written through the cache.
    ///
    /// - Parameter cached: write everything through the page cache, because it will be read soon.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, cached: Bool = false) throws(FileError) {
        isDurable = false
        let aligned = bytes.count & ~(Buffer.alignment - 1)
        let direct =
            !cached && UInt(bitPattern: bytes.baseAddress) % UInt(Buffer.alignment) == 0
            && offset % Buffer.alignment == 0
            && aligned >= 1 << 20 && setDirect(true)
        guard direct else {
            // The previous write may have turned it on.
            _ = setDirect(false)
            return try file.write(bytes, at: offset)
        }
        try file.write(UnsafeRawBufferPointer(rebasing: bytes[..<aligned]), at: offset)
        if aligned < bytes.count {
            _ = setDirect(false)
            try file.write(UnsafeRawBufferPointer(rebasing: bytes[aligned...]), at: offset + aligned)
        }
    }

    /// Starts writing dirty pages to the disk, before `finish` waits for them. `finish` throws the errors of their bytes; that the
    /// call is not possible is none.
    package func startWriteback() {
        do throws(FileError) {
            try file.startWriteback()
        } catch {
            if error.isDiskFull || error.isUnreadable { writebackFailure = writebackFailure ?? error }
        }
    }

    /// Makes the bytes durable: they survive a power cut. No writes may follow.
    ///
    /// - Parameter isReadOnly: whether the file can no longer be written, like a blob. Which users may read it was decided
    ///   when it was created.
    package func finish(isReadOnly: Bool = true) throws(FileError) {
        if isReadOnly { try makeReadOnly(file.status()) }
        try sync()
    }

    /// As ``finish(isReadOnly:)``, but only starts to write the bytes of a large file to the disk: ``sync(_:)`` writes the
    /// others, and waits for all.
    package func seal() throws(FileError) {
        let status = try file.status()
        try makeReadOnly(status)
        if status.bytes > Self.mostSmallBytes { startWriteback() }
    }

    /// The most bytes of a file that is written with many others.
    private static let mostSmallBytes = 64 << 10
    /// The minimum number of files that are synced with their file system.
    private static let manyFiles = 64
    /// The most bytes, of all programs, that wait to be written to disks when a whole file system is synced.
    private static let mostDirtyBytes = 1 << 30

    /// Makes the bytes of sealed files durable. Their names are durable when their directories are synced.
    ///
    /// A sync of each file is a write of its own, a commit of the journal and a flush of the disk. Many files on a file
    /// system that can be synced as a whole are therefore synced by one `syncfs`, unless other programs have so many bytes
    /// to write that it would wait for them.
    package static func sync(_ files: [StagedFile]) throws {
        let files = files.filter { !$0.isDurable }
        if let first = files.first, files.count >= manyFiles, FileSystem.syncsAsAWhole(first.path),
            SystemMemory.dirtyBytes ?? .max < mostDirtyBytes,
            // An error may be that of another program's file. Those of these files are found below.
            (try? first.file.syncFileSystem()) != nil
        {
            for file in files { try file.finishWriteback() }
        } else {
            for file in files { file.startWriteback() }
            try ParallelWork.run(files) { try $0.sync() }
        }
    }

    /// Waits for the bytes of a file whose file system was synced, and writes those that it has left dirty.
    private func finishWriteback() throws(FileError) {
        try notKeptIfFailed { () throws(FileError) in
            if let writebackFailure { throw writebackFailure }
            try file.finishWriteback()
        }
        isDurable = true
    }

    private func sync() throws(FileError) {
        if isDurable { return }
        try notKeptIfFailed { () throws(FileError) in
            if let writebackFailure { throw writebackFailure }
            try file.syncData()
        }
        isDurable = true
    }

    private func notKeptIfFailed(_ body: () throws(FileError) -> Void) throws(FileError) {
        do throws(FileError) {
            try body()
        } catch {
            isKept = false
            throw error
        }
    }

    /// Gives a file that remains a second name, which ``rename(to:)`` then renames.
    package func link(at path: String) throws(FileError) {
        let own = self.path
        try retrying("link", path) { Glibc.link(own, path) }
        secondPath = path
    }

    /// Renames the file to its final path, where it remains when the value is released.
    package func rename(to target: String) throws(FileError) {
        try FileSystem.rename(secondPath ?? path, to: target)
        isRenamed = secondPath == nil
    }

    private func makeReadOnly(_ status: FileStatus) throws(FileError) {
        if isReadOnly { return }
        try file.setMode(status.permissions & 0o444)
        isReadOnly = true
    }

    /// As `FileDescriptor.setDirect`, without a system call if nothing changes.
    private func setDirect(_ on: Bool) -> Bool {
        if on == isDirect { return true }
        guard file.setDirect(on) else { return false }
        isDirect = on
        return true
    }
}

extension StagedFile {
    /// Sets the size before the bytes are written, possibly out of order; unwritten bytes are zero.
    package func reserve(_ bytes: Int) throws(FileError) { try file.truncate(to: bytes) }
}

extension StagedFile {
    /// The result of ``share(_:with:at:)``.
    package enum Sharing {
        case shared
        /// This range cannot be shared.
        case refused
        /// No range of the two files can be shared: the file system cannot, or they are on two file systems.
        case impossible
    }

    /// The size of the blocks that files share, in bytes; 0 if it is unknown.
    package var blockBytes: Int { file.blockBytes }

    /// Makes a range share the blocks of another file, from an offset there.
    package func share(_ range: Range<Int>, with source: borrowing FileDescriptor, at offset: Int) -> Sharing {
        isDurable = false
        switch file.clone(range, of: source, at: offset) {
        case 0: return .shared
        case EOPNOTSUPP, ENOTTY, ENOSYS, EXDEV, EPERM: return .impossible
        default: return .refused
        }
    }
}
