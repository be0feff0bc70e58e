import Glibc
import Synchronization

/// A file that is complete, but not yet durable, for readers that need not wait for the disk. They read the page cache.
///
/// If the disk fails to write the bytes, the kernel may drop their pages later, and a read then returns what the disk has
/// instead. It records the failure when the write ends, before the pages can be dropped, so a look at the record after a read
/// shows whether the bytes were the written ones.
package final class UnsyncedFile: ProcessFile {
    private let file: FileDescriptor
    /// The failure. The kernel reports it once, so no other reader may ask meanwhile.
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
    /// The bytes as they are now, under whatever name the file gets. All of them are submitted to the disk first, so that none
    /// lacks a place there.
    ///
    /// - Returns: nil on a file system of which it is not known that it records failures.
    /// - Throws: the error of the submission.
    package func unsynced() throws(FileError) -> UnsyncedFile? {
        guard FileSystem.recordsFailedWrites(path) else { return nil }
        startWriteback()
        if let writebackFailure { throw writebackFailure }
        return try UnsyncedFile(path)
    }
}
