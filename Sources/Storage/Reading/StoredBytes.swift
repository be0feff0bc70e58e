import Files
import GRDB
import Synchronization

/// A byte range of a stored file, read in pieces at any position: the body of a server's response.
///
/// The blobs are read, not mapped: the pieces are copied to the caller's buffers anyway, an unreadable page is an error
/// and not a SIGBUS, and bytes that were read do not stay in the process's memory. An open blob can be read to its end
/// even if it is removed meanwhile.
package final class StoredBytes: Sendable {
    /// A range of the file that lies in one blob.
    package struct Run: Sendable {
        /// The position in the file, in bytes.
        package let offset: Int
        /// The number of bytes.
        package let length: Int
        /// The position in the blob, in bytes.
        package let blobOffset: Int
        /// The size of the blob, in bytes.
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

        /// The runs around the byte at `offset` that follow each other without a gap; empty if no run has the byte.
        ///
        /// - Parameter runs: in file order.
        package static func neighbours(in runs: [Run], around offset: Int) -> ArraySlice<Run> {
            guard let middle = runs.firstIndex(where: { $0.offset <= offset && offset - $0.offset < $0.length }) else {
                return []
            }
            let isContinued = { (index: Int) in
                runs[index].offset.adding(saturating: runs[index].length) == runs[index + 1].offset
            }
            var (first, end) = (middle, middle + 1)
            while first > 0, isContinued(first - 1) { first -= 1 }
            while end < runs.count, isContinued(end - 1) { end += 1 }
            return runs[first..<end]
        }
    }

    private final class OpenBlob: Sendable {
        let digest: ContentDigest
        let file: FileDescriptor
        /// What has the bytes instead of the store.
        let substitute: (any ProcessFile)?

        /// - Parameters:
        ///   - substitute: has the bytes instead of the run's blob.
        ///   - readsAhead: whether the kernel reads ahead.
        init(_ run: Run, _ substitute: (any ProcessFile)? = nil, readsAhead: Bool) throws {
            file = try FileDescriptor.blob(substitute?.path ?? run.path, digest: run.digest, bytes: run.blobBytes)
            if !readsAhead { file.disableReadAhead() }
            digest = run.digest
            self.substitute = substitute
        }
    }

    /// Makes a blob available again that is missing or damaged according to the error. Blocks.
    ///
    /// - Returns: its bytes in memory; nil if the blob can be read now.
    /// - Throws: the same error if that is not possible.
    package typealias Recovery = @Sendable (StorageError) throws -> MemoryFile?

    /// The most blobs open at the same time. Two, because shards of small and of large tensors alternate in a file.
    private static let openBlobs = 2

    /// The range of the file, in bytes.
    package let range: Range<Int>
    let runs: [Run]
    /// Whether all bytes are in the store.
    package var isStored: Bool { substitutes.isEmpty }
    /// The open blobs, the most recently opened one first.
    private let open = Mutex<[OpenBlob]>([])
    private let hold: RevisionHold?
    /// What has the bytes of some of the runs instead of the store.
    private let substitutes: [ContentDigest: any ProcessFile]
    private let recovery: Recovery?
    /// Whether the kernel reads the blobs ahead.
    private let readsAhead: Bool

    /// - Parameters:
    ///   - runs: in file order, each behind the one before; they cover the range.
    ///   - hold: keeps the revision from removal as long as the value exists.
    ///   - substitutes: what has the bytes of a blob instead of the store, by the digest of its runs.
    ///   - recovery: called when a read finds a blob missing or damaged. The read is then repeated once.
    /// - Throws: ``StorageError/catalogDamaged(path:message:)`` if the runs do not cover the range, or exceed their blobs.
    package init(
        _ range: Range<Int>, runs: [Run], hold: RevisionHold?, substitutes: [ContentDigest: any ProcessFile] = [:],
        recovery: Recovery? = nil
    ) throws(StorageError) {
        var end: Int?
        for run in runs {
            guard end.map({ $0 == run.offset }) ?? (run.offset <= range.lowerBound), run.length >= 0,
                run.length <= .max - run.offset, run.blobOffset >= 0, run.length <= run.blobBytes,
                run.blobOffset <= run.blobBytes - run.length
            else { throw .catalogDamaged(path: run.path, message: "the extents of a file do not fit its shards") }
            end = run.offset + run.length
        }
        guard end ?? range.lowerBound >= range.upperBound else {
            throw .catalogDamaged(path: runs.last?.path ?? "", message: "the extents of a file do not cover its bytes")
        }
        self.recovery = recovery
        self.range = range
        self.runs = runs
        self.hold = hold
        self.substitutes = substitutes
        readsAhead = true
    }

    private init(_ range: Range<Int>, of all: StoredBytes, readsAhead: Bool) {
        self.range = range
        runs = all.runs
        hold = all.hold
        substitutes = all.substitutes
        recovery = all.recovery
        self.readsAhead = readsAhead
    }

    /// Fills a buffer with the bytes from `offset`, all of which must be in the range. Blocks.
    ///
    /// - Returns: the size of the buffer.
    /// - Throws: ``StorageError/missing(path:digest:)``, or ``StorageError/removed(path:digest:)`` without a lease;
    ///   ``StorageError/damaged(path:digest:expected:found:)``.
    package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        precondition(range.lowerBound <= offset && offset + buffer.count <= range.upperBound)
        var index = firstRun(at: offset)
        var done = 0
        while done < buffer.count {
            let run = runs[index]
            let start = offset + done - run.offset
            let count = min(run.length - start, buffer.count - done)
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
            do {
                try read(run, at: start, into: piece)
            } catch let error as StorageError {
                guard let recovery, error.lostBlob == run.digest else { throw error }
                let memory = try recovery(error)
                open.withLock { $0.removeAll { $0.digest == run.digest } }
                remember(try OpenBlob(run, memory, readsAhead: readsAhead))
                try read(run, at: start, into: piece)
            }
            done += count
            index += 1
        }
        return done
    }

    /// Fills `piece` from an offset in a run.
    private func read(_ run: Run, at start: Int, into piece: UnsafeMutableRawBufferPointer) throws {
        let blob = try blob(of: run)
        do {
            let isWhole = try blob.file.read(at: run.blobOffset + start, into: piece) == piece.count
            try blob.substitute?.requireTrueReads()
            if isWhole { return }
        } catch {
            throw StorageError.unreadable(error, run.path, run.digest, bytes: run.blobBytes)
        }
        throw StorageError.damaged(
            path: run.path, digest: run.digest, expected: "\(run.blobBytes) bytes", found: "fewer")
    }

    private func blob(of run: Run) throws -> OpenBlob {
        if let blob = open.withLock({ $0.first { $0.digest == run.digest } }) { return blob }
        let blob: OpenBlob
        do {
            blob = try OpenBlob(run, substitutes[run.digest], readsAhead: readsAhead)
        } catch StorageError.missing where hold?.isLeased == false {
            throw StorageError.removed(path: run.path, digest: run.digest)
        }
        remember(blob)
        return blob
    }

    private func remember(_ blob: OpenBlob) {
        open.withLock { open in
            open.insert(blob, at: 0)
            if open.count > Self.openBlobs { open.removeLast() }
        }
    }

    /// The run that holds the byte at `offset`.
    func firstRun(at offset: Int) -> Int {
        var (low, high) = (0, runs.count)
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].offset + runs[middle].length <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension StoredBytes {
    /// A subrange of the bytes.
    package func part(_ part: Range<Int>) -> StoredBytes {
        precondition(range.lowerBound <= part.lowerBound && part.upperBound <= range.upperBound)
        return StoredBytes(part, of: self, readsAhead: readsAhead)
    }

    /// The same bytes for a reader that reads ahead by itself (``readAhead(_:)``).
    package func withoutReadAhead() -> StoredBytes { StoredBytes(range, of: self, readsAhead: false) }
}

extension StoredBytes {
    /// Reads the whole range into memory; for small files.
    package func all() throws -> [UInt8] { try bytes(in: range) }

    /// Reads a subrange into memory.
    package func bytes(in part: Range<Int>) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: part.count) { memory, count in
            count = try read(at: part.lowerBound, into: UnsafeMutableRawBufferPointer(memory))
        }
    }
}
