import Glibc

/// The one durable writer: a file in `staging/`, written front to back, then synced, ready to be installed as a blob.
///
/// Dropped before it is renamed to its place, it leaves nothing behind.
///
/// Sendable because it is used by one thread at a time: its shard's serial queue, then the committer.
final class StagedFile: @unchecked Sendable {
    /// O_DIRECT takes memory, offset and length in multiples of this.
    static let alignment = 4096

    let path: String
    fileprivate let file: FileDescriptor
    /// Held as long as the value, for one that stays when it is dropped.
    private let lock: FileDescriptor?

    init(_ path: String) throws(StoreError) {
        self.path = path
        lock = nil
        file = try FileDescriptor(path, O_WRONLY | O_CREAT | O_EXCL)
    }

    /// Takes over a file that stays when it is dropped, so that somebody can go on with it.
    ///
    /// - Parameter lock: the same file, locked.
    init(keeping lock: consuming FileDescriptor) throws(StoreError) {
        path = lock.path
        // It may have been finished before.
        try lock.setMode(0o644)
        file = try FileDescriptor(lock.path, O_RDWR)
        self.lock = .some(consume lock)
    }

    deinit {
        switch lock {
        case nil: unlink(path)
        default: break
        }
    }

    /// Bytes that are there.
    func count() throws(StoreError) -> Int { try file.status().bytes }

    /// As `FileDescriptor.read`.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) -> Int {
        _ = file.setDirect(false)
        return try file.read(at: offset, into: buffer)
    }

    func truncate(to bytes: Int) throws(StoreError) { try file.truncate(to: bytes) }

    /// Large aligned parts bypass the page cache: no copy, no pages to clean, and the model that is being served
    /// stays cached. File systems without O_DIRECT (tmpfs) are written through the cache.
    ///
    /// - Parameter cached: write all of it through the page cache, because it will be read soon.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, cached: Bool = false) throws(StoreError) {
        let aligned = bytes.count & ~(Self.alignment - 1)
        let direct = !cached && UInt(bitPattern: bytes.baseAddress) % UInt(Self.alignment) == 0 && offset % Self.alignment == 0
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
    func startWriteback() { file.startWriteback() }

    /// After this, the bytes survive a power cut, and nobody writes to them again.
    func finish() throws(StoreError) {
        try file.setMode(0o444)
        try file.syncData()
    }
}

extension StagedFile {
    /// Gives it its size before it is written, out of order perhaps; what is not written is zero.
    func reserve(_ bytes: Int) throws(StoreError) { try file.truncate(to: bytes) }

    /// Writes all of a small blob, and finishes it.
    ///
    /// - Returns: its digest.
    func writeWhole(_ bytes: [UInt8]) throws -> Digest {
        try bytes.withUnsafeBytes { bytes in
            try write(bytes, at: 0)
            try finish()
            return Digest(of: bytes)
        }
    }
}
