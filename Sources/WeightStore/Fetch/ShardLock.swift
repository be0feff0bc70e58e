import Files
import Glibc
import Storage

/// The lock of one shard, between threads and between processes. It locks one byte of a common file, at an offset made
/// of the first 8 bytes of the digest. It ends with the value, and with the process.
///
/// It is an open file description lock (Linux 3.15), which, unlike a POSIX lock, excludes other threads, too.
struct ShardLock: ~Copyable {
    private let file: FileDescriptor

    /// `F_OFD_SETLK` of linux/fcntl.h, which the Glibc module lacks.
    private static let set: Int32 = 37

    /// Waits for the lock.
    ///
    /// - Parameter wait: what ends the wait.
    /// - Throws: `CancellationError`.
    init(_ digest: ContentDigest, in path: String, _ wait: LockWait) throws {
        let file = try StoreFile.open(path, O_RDWR)
        let raw = file.raw
        _ = try wait.wait(for: path) {
            LockHolder.all(of: path, byte: Self.byte(of: digest))
        } _: {
            try Self.tryLock(digest, raw, path)
        }
        self.file = file
    }

    private static func byte(of digest: ContentDigest) -> Int { Int(UInt64(bitPattern: digest.head) >> 2) }

    /// - Returns: false if another open file has the lock.
    fileprivate static func tryLock(_ digest: ContentDigest, _ file: Int32, _ path: String) throws -> Bool {
        var lock = flock()
        lock.l_type = Int16(F_WRLCK)
        lock.l_whence = Int16(SEEK_SET)
        lock.l_start = off_t(byte(of: digest))
        lock.l_len = 1
        if fcntl(file, set, &lock) == 0 { return true }
        guard [EAGAIN, EACCES, EINTR].contains(errno) else {
            throw FileError.system(operation: "fcntl(F_OFD_SETLK)", path: path, code: errno)
        }
        return false
    }
}

/// The locks of several shards, as ``ShardLock``, with one open file. They are acquired without waiting, so two groups
/// never wait for each other.
struct ShardLocks: ~Copyable {
    private let file: FileDescriptor
    private let path: String

    init(in path: String) throws {
        self.path = path
        file = try StoreFile.open(path, O_RDWR)
    }

    /// Locks one more shard.
    ///
    /// - Returns: false if another fetch has its lock.
    func tryLock(_ digest: ContentDigest) throws -> Bool { try ShardLock.tryLock(digest, file.raw, path) }
}
