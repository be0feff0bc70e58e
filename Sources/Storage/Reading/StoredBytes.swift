import Files
import GRDB
import Synchronization

/// A run of bytes that lies in blobs, read in pieces from any place: what a server hands out.
///
/// Read, not mapped: the pieces are copied into buffers of the caller anyway, and so a page that the disk can't give is
/// an error here and not a SIGBUS, and what was handed out does not stay in the process's memory. A blob that is open
/// can be read to its end even if it is removed meanwhile.
package final class StoredBytes: Sendable {
    /// Bytes of one blob.
    package struct Run: Sendable {
        /// Where in the file.
        package let offset: Int
        package let length: Int
        package let blobOffset: Int
        package let blobBytes: Int
        package let digest: ContentDigest
        package let path: String

        package init(offset: Int, length: Int, blobOffset: Int, blobBytes: Int, digest: ContentDigest, path: String) {
            self.offset = offset
            self.length = length
            self.blobOffset = blobOffset
            self.blobBytes = blobBytes
            self.digest = digest
            self.path = path
        }
    }

    private final class OpenBlob: Sendable {
        let digest: ContentDigest
        let file: FileDescriptor

        init(_ run: Run) throws {
            file = try FileDescriptor.blob(run.path, digest: run.digest, bytes: run.blobBytes)
            digest = run.digest
        }
    }

    /// Open at the same time at most: the shards of a file's small tensors and of its large ones alternate.
    private static let openBlobs = 2

    /// Which bytes of the file.
    package let range: Range<Int>
    private let runs: [Run]
    /// The last used one first.
    private let open = Mutex<[OpenBlob]>([])
    private let hold: RevisionHold?

    /// - Parameters:
    ///   - runs: in order; they cover the range.
    ///   - hold: keeps the bytes from being removed as long as the value lives.
    package init(_ range: Range<Int>, runs: [Run], hold: RevisionHold?) {
        self.range = range
        self.runs = runs
        self.hold = hold
    }

    /// Fills a buffer with the bytes from `offset` on, all of which are in the range. Blocks.
    ///
    /// - Returns: how many: the buffer's size.
    /// - Throws: ``StorageError/missing(path:digest:)``, ``StorageError/damaged(path:digest:expected:found:)``.
    package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        precondition(range.lowerBound <= offset && offset + buffer.count <= range.upperBound)
        var index = firstRun(at: offset)
        var done = 0
        while done < buffer.count {
            let run = runs[index]
            let start = offset + done - run.offset
            let count = min(run.length - start, buffer.count - done)
            let blob = try blob(of: run)
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
            guard try blob.file.read(at: run.blobOffset + start, into: piece) == count else {
                throw StorageError.damaged(
                    path: run.path, digest: run.digest, expected: "\(run.blobBytes) bytes", found: "fewer")
            }
            done += count
            index += 1
        }
        return done
    }

    private func blob(of run: Run) throws -> OpenBlob {
        if let blob = open.withLock({ $0.first { $0.digest == run.digest } }) { return blob }
        let blob = try OpenBlob(run)
        open.withLock { open in
            open.insert(blob, at: 0)
            if open.count > Self.openBlobs { open.removeLast() }
        }
        return blob
    }

    /// The run that holds the byte at `offset`.
    private func firstRun(at offset: Int) -> Int {
        var (low, high) = (0, runs.count)
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].offset + runs[middle].length <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension StoredBytes {
    /// Some of the bytes.
    package func part(_ part: Range<Int>) -> StoredBytes {
        precondition(range.lowerBound <= part.lowerBound && part.upperBound <= range.upperBound)
        return StoredBytes(part, runs: runs, hold: hold)
    }
}

extension StoredBytes {
    /// All of them. For what is small.
    package func all() throws -> [UInt8] { try bytes(in: range) }

    package func bytes(in part: Range<Int>) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: part.count) { memory, count in
            count = try read(at: part.lowerBound, into: UnsafeMutableRawBufferPointer(memory))
        }
    }
}
