import Files
import Glibc
import Storage
import Support

/// One lock for each shard, between threads and between processes, in one file: a lock on the byte at the offset that the
/// digest begins with. It goes with the value, and with the process.
///
/// These are locks of open file descriptions (Linux 3.15): unlike POSIX locks they keep threads apart, too.
struct ShardLock: ~Copyable {
    private let file: FileDescriptor

    /// `F_OFD_SETLK` of linux/fcntl.h, which Swift's Glibc lacks.
    private static let set: Int32 = 37

    /// Waits for the lock.
    ///
    /// - Parameter work: cancelling it ends the wait.
    /// - Throws: `CancellationError`.
    init(_ digest: ContentDigest, in path: String, _ work: Work) throws {
        let file = try FileDescriptor(path, O_RDWR | O_CREAT)
        var lock = flock()
        lock.l_type = Int16(F_WRLCK)
        lock.l_whence = Int16(SEEK_SET)
        lock.l_start = off_t(UInt64(bitPattern: digest.head) >> 2)
        lock.l_len = 1
        let raw = file.raw
        while fcntl(raw, Self.set, &lock) == -1 {
            guard [EAGAIN, EACCES, EINTR].contains(errno) else {
                throw FileError.system(operation: "fcntl(F_OFD_SETLK)", path: path, code: errno)
            }
            try work.check()
            usleep(2000)
        }
        self.file = file
    }
}
