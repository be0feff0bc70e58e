import Support
import Synchronization
import WeightStore

/// A file while it is open, shared by all that have it open. It holds the revision.
///
/// The kernel caches the file's own pages. So that bytes are cached once, the pages of a blob are dropped when all its bytes
/// were read (`MountReads`, `used`).
final class OpenFile: Sendable {
    /// The file is opened in the store in parts of this size.
    private static let partBytes = 32 << 20
    /// The most parts that are open at a time; each has at most two blobs open.
    private static let mostParts = 8
    /// Bytes that are in memory alone, because the store has no room: kept for the next requests of the same shards.
    private static let mostPassed = 4
    /// The time after a failed fetch in which reads of absent bytes fail at once: the kernel repeats a read that has failed,
    /// page by page.
    private static let failureTime = Duration.seconds(2)

    private struct State {
        /// The most recently used first.
        var parts: [(index: Int, bytes: StoredBytes)] = []
        /// The bytes of each blob that were read since its pages were dropped.
        var used: [ContentDigest: Int] = [:]
        /// The last fetched ranges.
        var fetched: [StoredBytes] = []
        /// Shards that are being stored.
        var arrived: [ArrivedBytes] = []
        /// The reads that wait for a fetch.
        var waiting: [WaitingRead] = []
        /// The end of the time in which reads of absent bytes fail.
        var failureEnd: ContinuousClock.Instant?
        var fetches = FetchOrder()
    }

    let entry: FileEntry
    private let revision: Revision
    private let state = Mutex(State())

    init(_ entry: FileEntry, of revision: Revision) {
        self.entry = entry
        self.revision = revision
    }

    /// The name for messages.
    var name: String { "\(revision.name) \(entry.path)" }

    // MARK: Stored bytes

    /// Fills a buffer with bytes that are stored, or are just being stored.
    ///
    /// - Returns: false if some of them must be fetched.
    /// - Throws: ``StorageError`` for a blob that is missing or damaged: it must be fetched, too.
    func read(_ range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws -> Bool {
        if try readArrived(range, into: buffer) { return true }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let index = offset / Self.partBytes
            let end = min((index + 1) * Self.partBytes, range.upperBound)
            let piece = offset..<end
            guard let bytes = try part(index) ?? revision.storedBytes(of: entry, in: piece, continuing: true) else {
                return false
            }
            let start = offset - range.lowerBound
            do {
                _ = try bytes.read(
                    at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + piece.count]))
            } catch {
                // The blob may have been evicted: the part is opened again after the fetch.
                state.withLock { $0.parts.removeAll { $0.index == index } }
                throw error
            }
            noteUse(bytes.blobs(in: piece))
            offset = end
        }
        return true
    }

    /// A part of the file; nil if some of its bytes are not stored.
    private func part(_ index: Int) throws -> StoredBytes? {
        let (known, isContinuing) = state.withLock { state in
            let isContinuing = state.parts.contains { $0.index == index - 1 }
            guard let place = state.parts.firstIndex(where: { $0.index == index }) else {
                return (nil as StoredBytes?, isContinuing)
            }
            if place > 0 { state.parts.insert(state.parts.remove(at: place), at: 0) }
            return (state.parts[0].bytes, isContinuing)
        }
        if let known { return known }
        let range = index * Self.partBytes..<min((index + 1) * Self.partBytes, entry.bytes)
        guard let opened = try revision.storedBytes(of: entry, in: range, continuing: isContinuing) else { return nil }
        let bytes = opened.withoutReadAhead()
        state.withLock { state in
            if state.parts.contains(where: { $0.index == index }) { return }
            state.parts.insert((index, bytes), at: 0)
            if state.parts.count > Self.mostParts { state.parts.removeLast() }
        }
        return bytes
    }

    /// Drops the pages of each blob of which all bytes were read, but for the padding between its tensors.
    private func noteUse(_ blobs: [StoredBytes.UsedBlob]) {
        let whole = state.withLock { state in
            blobs.filter { blob in
                let used = state.used[blob.digest, default: 0].adding(saturating: blob.count)
                let isWhole = used >= blob.blobBytes - blob.blobBytes / 64
                state.used[blob.digest] = isWhole ? nil : used
                return isWhole
            }
        }
        for blob in whole { blob.dropPages() }
    }

    /// Reads a range of the blobs ahead.
    ///
    /// - Returns: the first bytes of the range that are not stored; nil if all are.
    func readAhead(_ range: Range<Int>) throws -> Range<Int>? {
        for index in range.lowerBound / Self.partBytes...(range.upperBound - 1) / Self.partBytes {
            let part = index * Self.partBytes..<min((index + 1) * Self.partBytes, entry.bytes)
            let piece = range.clamped(to: part)
            guard let bytes = try self.part(index) else { return piece }
            bytes.readAhead(piece)
        }
        return nil
    }

    // MARK: Absent bytes

    /// Fetches a range, and starts to read its shards, which the next requests read.
    ///
    /// - Parameters:
    ///   - lost: the error of a read that found a blob missing or damaged.
    ///   - work: cancelling it ends the fetch.
    ///   - answer: called once, unless the call throws, with a function that reads the range: as soon as its bytes are there, which
    ///     may be before they are stored, and on another thread.
    func fetch(
        _ range: Range<Int>, after lost: StorageError?, _ work: Work, answer: @escaping WaitingRead.Answer
    ) throws {
        let waiting = WaitingRead(range, answer)
        state.withLock { $0.waiting.append(waiting) }
        defer { state.withLock { $0.waiting.removeAll { $0 === waiting } } }
        // They may have arrived while the request had no turn.
        if try waiting.end({ buffer in try readArrived(range, into: buffer) }) { return }
        let arrived = Mutex<ArrivedBytes?>(nil)
        defer { if let arrived = arrived.withLock({ $0 }) { retire(arrived) } }
        let bytes = try revision.fetchedBytes(
            of: entry, in: range, continuing: true, after: lost, recovers: true, work: work
        ) { [self] bytes in
            let found = ArrivedBytes(bytes)
            arrived.withLock { $0 = found }
            let readers = state.withLock { state in
                state.arrived.append(found)
                return state.waiting.filter { bytes.range.contains($0.range) }
            }
            for reader in readers {
                // One that cannot be answered now waits until the bytes are stored.
                _ = try? reader.end { buffer in try readArrived(reader.range, into: buffer) }
            }
        }
        bytes.readBlobsAhead(atMost: ReadStream.distance)
        state.withLock { state in
            state.fetched.insert(bytes, at: 0)
            if state.fetched.count > Self.mostPassed { state.fetched.removeLast() }
        }
        try waiting.end { buffer in
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<range.count])
            _ = try bytes.read(at: range.lowerBound, into: piece)
            noteUse(bytes.blobs(in: range))
            return true
        }
    }

    /// Fills a buffer with bytes that have arrived, and are being stored.
    ///
    /// - Returns: false if there are none, or they cannot be read.
    private func readArrived(_ range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws -> Bool {
        let found = state.withLock { state in state.arrived.first { $0.bytes.range.contains(range) } }
        guard let arrived = found else { return false }
        do {
            noteUse(try arrived.read(range, into: buffer))
            return true
        } catch {
            // They are fetched again, when the fetch that could not store them has ended.
            state.withLock { $0.arrived.removeAll { $0 === arrived } }
            return false
        }
    }

    /// Bytes that had arrived are read from the store from now on.
    private func retire(_ arrived: ArrivedBytes) {
        state.withLock { $0.arrived.removeAll { $0 === arrived } }
        noteUse(arrived.retire())
    }

    /// Notes that a fetch has failed.
    func noteFailure() { state.withLock { $0.failureEnd = .now + Self.failureTime } }

    /// Whether a fetch has failed a moment ago.
    var hasFailed: Bool { state.withLock { $0.failureEnd.map { $0 > .now } ?? false } }

    /// Starts a fetch when it has its turn.
    func enqueue(
        _ fetch: @escaping @Sendable () -> Void, for reason: FetchOrder.Reason, on threads: WorkerThreads
    ) {
        state.withLock { $0.fetches.add(fetch, for: reason) }
        startNext(on: threads)
    }

    private func startNext(on threads: WorkerThreads) {
        while let (fetch, reason) = state.withLock({ $0.fetches.next() }) {
            threads.submit { [weak threads, self] in
                fetch()
                state.withLock { $0.fetches.finish(reason) }
                if let threads { startNext(on: threads) }
            }
        }
    }
}
