import Glibc
import Support

/// The one durable writer: a file in `staging/`, written front to back, then synced, ready to be installed as a blob.
///
/// Dropped before it is renamed to its place, it leaves nothing behind.
///
/// Sendable because it is used by one thread at a time: its shard's serial queue, then the committer.
package final class StagedFile: @unchecked Sendable {
    package let path: String
    fileprivate let file: FileDescriptor
    /// Whether it stays when it is dropped.
    package let stays: Bool
    /// Held as long as the value, for one that stays.
    private let lock: FileDescriptor?

    package init(_ path: String) throws(FileError) {
        self.path = path
        stays = false
        lock = nil
        file = try FileDescriptor(path, O_WRONLY | O_CREAT | O_EXCL)
    }

    /// A new file with a name of its own in the directory of `target`, to be renamed to it. The name is random: two
    /// processes in different containers may have the same process id.
    package convenience init(beside target: String) throws(FileError) {
        try self.init("\(target).\(String(UInt64.random(in: 0 ... .max), radix: 36)).partial")
    }

    /// Takes over a file that stays when it is dropped, so that somebody can go on with it.
    ///
    /// - Parameter lock: the same file, locked.
    package init(keeping lock: consuming FileDescriptor) throws(FileError) {
        path = lock.path
        stays = true
        // It may have been finished before.
        try lock.setMode(0o644)
        file = try FileDescriptor(lock.path, O_RDWR)
        self.lock = .some(consume lock)
    }

    deinit {
        if !stays { unlink(path) }
    }

    /// Bytes that are there.
    package func count() throws(FileError) -> Int { try file.status().bytes }

    /// As `FileDescriptor.read`.
    package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
        _ = file.setDirect(false)
        return try file.read(at: offset, into: buffer)
    }

    package func truncate(to bytes: Int) throws(FileError) { try file.truncate(to: bytes) }

    /// Large aligned parts bypass the page cache: no copy, no pages to clean, and the model that is being served
    /// stays cached. File systems without O_DIRECT (tmpfs) are written through the cache.
    ///
    /// - Parameter cached: write all of it through the page cache, because it will be read soon.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, cached: Bool = false) throws(FileError) {
        let aligned = bytes.count & ~(Buffer.alignment - 1)
        let direct =
            !cached && UInt(bitPattern: bytes.baseAddress) % UInt(Buffer.alignment) == 0
            && offset % Buffer.alignment == 0
            && aligned >= 1 << 20 && file.setDirect(true)
        guard direct else {
            // The part before this one may have been.
            _ = file.setDirect(false)
            return try file.write(bytes, at: offset)
        }
        try file.write(UnsafeRawBufferPointer(rebasing: bytes[..<aligned]), at: offset)
        if aligned < bytes.count {
            _ = file.setDirect(false)
            try file.write(UnsafeRawBufferPointer(rebasing: bytes[aligned...]), at: offset + aligned)
        }
    }

    /// Lets the disk begin with what was written, before `finish` waits for it.
    package func startWriteback() { file.startWriteback() }

    /// After this, the bytes survive a power cut, and nobody writes to them again.
    ///
    /// - Parameter mode: of the file; blobs are read-only.
    package func finish(mode: mode_t = 0o444) throws(FileError) {
        try file.setMode(mode)
        try file.syncData()
    }
}

extension StagedFile {
    /// Gives it its size before it is written, out of order perhaps; what is not written is zero.
    package func reserve(_ bytes: Int) throws(FileError) { try file.truncate(to: bytes) }
}
