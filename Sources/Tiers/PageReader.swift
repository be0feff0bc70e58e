import Files
import Storage
import Support
import Synchronization

/// Reads mapped files into memory with several threads, so that no reader stalls on a page fault.
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

    /// The size of a piece: large enough that the cost of system calls is negligible, small enough that one large shard
    /// occupies all threads. A multiple of the size of a huge page.
    static let pieceBytes = 4 << 20

    let threads: WorkerThreads
    let choice: ReadingChoice

    package init(threads: WorkerThreads, choice: ReadingChoice = .process) {
        self.threads = threads
        self.choice = choice
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
        let reader = PieceReader(mapped, range, choice)
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

/// Reads pieces of a mapped range, each on the thread of its caller, in the way that the process has chosen.
final class PieceReader: Sendable {
    private let mapped: PageReader.Mapped
    private let range: Range<Int>
    private let choice: ReadingChoice
    /// Whether the kernel was advised of the chosen way for the whole range.
    private let hasAdvice = Atomic<Bool>(false)

    init(_ mapped: PageReader.Mapped, _ range: Range<Int>, _ choice: ReadingChoice) {
        self.mapped = mapped
        self.range = range
        self.choice = choice
    }

    /// - Throws: ``StorageError/damaged(path:digest:expected:found:)`` if a page cannot be read.
    func read(_ part: Range<Int>) throws {
        try mapped.memory.readBlob(mapped.digest, bytes: mapped.blobBytes) { () throws(FileError) in
            try readPages(part)
        }
    }

    private func readPages(_ part: Range<Int>) throws(FileError) {
        let memory = mapped.memory
        // What is in the page cache is mapped, and not read: its time tells nothing. In pages of the size that it has there.
        if try isCached(part) {
            memory.preferHugePages(part)
            return try memory.populate(part)
        }
        switch choice.next() {
        case .use(let way): try readPages(part, way)
        case .measure(let way):
            if way == .hugePages { memory.preferHugePages(part) }
            choice.record(way, bytes: part.count, nanoseconds: try fill(part))
        }
    }

    /// Whether bytes seem to be in the page cache: some of their pages are. To look at all pages takes longer than to map
    /// them.
    private func isCached(_ part: Range<Int>) throws(FileError) -> Bool {
        if part.isEmpty { return true }
        for index in 0...Self.samples {
            let offset = part.lowerBound + (part.count - 1) * index / Self.samples
            if try mapped.memory.cachedBytes(offset..<offset + 1) == 0 { return false }
        }
        return true
    }

    private static let samples = 3

    private func readPages(_ part: Range<Int>, _ way: ReadingWay) throws(FileError) {
        if way == .hugePages, !hasAdvice.exchange(true, ordering: .relaxed) { mapped.memory.preferHugePages(range) }
        _ = try fill(part)
    }

    /// Populates pages, and accesses those that were not in the page cache, so that no reader waits for the host of a
    /// virtual machine.
    ///
    /// - Returns: the time in nanoseconds.
    private func fill(_ part: Range<Int>) throws(FileError) -> Double {
        let start = ContinuousClock.now
        try mapped.memory.populate(part)
        let populated = (ContinuousClock.now - start) / .nanoseconds(1)
        if populated < Double(part.count) / Self.cachedBytesPerNanosecond { return populated }
        mapped.memory.touch(part)
        return (ContinuousClock.now - start) / .nanoseconds(1)
    }

    /// No disk is so fast for one thread: such bytes were in the page cache.
    private static let cachedBytesPerNanosecond = 16.0
}
