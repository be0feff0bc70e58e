import Glibc
import Synchronization

/// A file that is complete, but not yet durable, for readers that need not wait for the disk. They read the page cache.
///
/// If the disk refuses the bytes, the kernel may drop their pages, and a read then returns what the disk has instead. It records the
/// failure before it drops a page, so a look at the record after a read shows whether the bytes were the written ones.
package final class UnsyncedFile: ProcessFile {
    private let file: FileDescriptor
    /// The failure that the kernel has reported, which it does once. Locked while the kernel is asked, so that no reader is told of
    /// none in between.
    private let failure = Mutex<FileError?>(nil)

    package var path: String { "/proc/self/fd/\(file.raw)" }

    fileprivate init(_ path: String) throws(FileError) { file = try FileDescriptor(path, O_RDONLY) }

    package func requireTrueReads() throws(FileError) {
        let failure = failure.withLock { failure in
            if failure == nil {
                do throws(FileError) { try file.reportFailedWrite() } catch { failure = error }
            }
            return failure
        }
        if let failure { throw failure }
    }
}

extension StagedFile {
    /// The bytes as they are now, under whatever name the file gets.
    package func unsynced() throws(FileError) -> UnsyncedFile { try UnsyncedFile(path) }
}
