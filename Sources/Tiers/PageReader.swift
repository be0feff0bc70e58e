import Files
import Storage
import Support
import Synchronization

/// Reads mapped files into memory with several threads, so that no reader waits for a disk.
///
/// An unreadable page is reported as an error; accessing it would raise SIGBUS.
package struct PageReader: Sendable {
    /// The bytes of a blob that are mapped.
    package struct Mapped: Sendable {
        package let memory: any MappedMemory
        package let digest: ContentDigest
        /// The size of the blob.
        package let blobBytes: Int
    }

    /// The size of a piece: large enough that the kernel reads it ahead of one thread, small enough that one large shard
    /// occupies all threads. A multiple of the size of a huge page.
    static let pieceBytes = 16 << 20

    let threads: WorkerThreads
    let way: ReadingWay

    package init(threads: WorkerThreads, way: ReadingWay = .ofMachine) {
        self.threads = threads
        self.way = way
    }

    /// Reads a range, and calls `done` once, on any thread. The last piece is read on the calling thread, so that a
    /// range of one piece does not pass through the queue.
    func read(
        _ mapped: Mapped, _ range: Range<Int>, _ work: Work, then done: @escaping @Sendable ((any Error)?) -> Void
    ) {
        let pieces = mapped.memory.isCopy ? 0 : (range.count + Self.pieceBytes - 1) / Self.pieceBytes
        guard pieces > 0 else { return done(nil) }
        let failure = FirstFailure()
        let left = Shared(Atomic<Int>(pieces))
        let reader = PieceReader(mapped, range, way)
        for piece in 0..<pieces {
            let start = range.lowerBound + piece * Self.pieceBytes
            let part = start..<min(start + Self.pieceBytes, range.upperBound)
            let read: @Sendable () -> Void = {
                do {
                    try work.check()
                    if failure.first == nil { try reader.read(part) }
                } catch {
                    failure.record(error)
                }
                if left.value.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { done(failure.first) }
            }
            if piece == pieces - 1 { read() } else { threads.submit(read) }
        }
    }
}

/// Reads pieces of a mapped range, each on the thread of its caller.
final class PieceReader: Sendable {
    private let mapped: PageReader.Mapped
    private let range: Range<Int>
    private let way: ReadingWay
    private let recent: RecentReads
    /// Whether the kernel was advised of huge pages for the whole range.
    private let hasAdvice = Atomic<Bool>(false)

    init(
        _ mapped: PageReader.Mapped, _ range: Range<Int>, _ way: ReadingWay = .ofMachine,
        _ recent: RecentReads = .process
    ) {
        self.mapped = mapped
        self.range = range
        self.way = way
        self.recent = recent
    }

    /// - Throws: ``StorageError/damaged(path:digest:expected:found:)`` if a page cannot be read.
    func read(_ part: Range<Int>) throws {
        try mapped.memory.readBlob(mapped.digest, bytes: mapped.blobBytes) { () throws(FileError) in
            try readPages(part)
        }
    }

    private func readPages(_ part: Range<Int>) throws(FileError) {
        let memory = mapped.memory
        // Once: an advice stops all page faults of the process for a moment. Bytes that are cached are mapped in huge pages
        // if they have them.
        if way == .hugePages, !hasAdvice.exchange(true, ordering: .relaxed) { memory.preferHugePages(range) }
        if try isCached(part) {
            // It is mapped, and read only if it was read ahead.
            return try recent.exist() ? populate(part) : mapCached(part)
        }
        recent.add()
        try populate(part)
    }

    /// Reads pages and accesses them, so that no reader waits for the host of a virtual machine, then maps them.
    private func populate(_ part: Range<Int>) throws(FileError) {
        switch way {
        case .smallPages:
            try readIntoCache(part)
            try mapped.memory.populate(part)
        case .hugePages:
            try mapped.memory.populate(part)
            mapped.memory.touch(part)
        }
    }

    /// Maps pages that seem to be cached. Those that are, in small pages, are left to the accesses of the reader: the kernel
    /// maps the cached pages around an access with it, which takes no longer, and less of the processors, than to map them
    /// here on several threads.
    private func mapCached(_ part: Range<Int>) throws(FileError) {
        let memory = mapped.memory
        guard way == .smallPages, let file = try? FileDescriptor.openIfPresent(memory.path) else {
            return try memory.populate(part)
        }
        for start in stride(from: part.lowerBound, to: part.upperBound, by: Self.stepBytes) {
            let step = start..<min(start + Self.stepBytes, part.upperBound)
            let place = memory.fileOffset + step.lowerBound..<memory.fileOffset + step.upperBound
            // A page that is not cached must be read here, where an error of the disk is reported. Both are asked: `mincore`
            // answers only the owner, and `cachestat` counts pages whose read has failed.
            if file.isCached(place), try memory.isCached(step) { continue }
            try memory.populate(step)
        }
    }

    /// Reads bytes into the page cache. For a file that is read, the kernel caches more bytes in one piece of memory than for
    /// one whose mapping is accessed, and maps them faster.
    private func readIntoCache(_ part: Range<Int>) throws(FileError) {
        let memory = mapped.memory
        // A blob that was removed, or for which no descriptor is left, is read when its pages are mapped.
        guard !memory.isCopy, let file = try? FileDescriptor.openIfPresent(memory.path) else { return }
        let buffer = Buffer(uninitialized: min(Self.stepBytes, part.count))
        for start in stride(from: part.lowerBound, to: part.upperBound, by: Self.stepBytes) {
            let count = min(Self.stepBytes, part.upperBound - start)
            // A short file is reported by the mapping.
            if try file.read(at: memory.fileOffset + start, into: buffer.writableBytes(count)) < count { return }
        }
    }

    /// Small enough for the cache of a processor, and few when some pages of a piece are not cached any more.
    private static let stepBytes = 1 << 20

    /// Whether bytes seem to be in the page cache: some of their pages are. To look at all pages takes longer than to map
    /// them.
    private func isCached(_ part: Range<Int>) throws(FileError) -> Bool {
        if part.isEmpty { return true }
        for index in 0...Self.samples {
            let offset = part.lowerBound + (part.count - 1) * index / Self.samples
            if try !mapped.memory.isCached(offset..<offset + 1) { return false }
        }
        return true
    }

    private static let samples = 3
}
