/// The turns of the fetches of one file.
///
/// What a reader waits for is fetched before what follows it. Read-ahead has the link and the processors to itself, or waits:
/// beside the fetch of a wanted shard it would share both with it. One that has begun is not interrupted.
struct FetchOrder: Sendable {
    /// What a fetch is for.
    enum Reason { case read, readAhead }

    typealias Fetch = @Sendable () -> Void

    /// The most fetches of reads at a time: readers of other files need the threads, too.
    private static let mostReads = 8
    /// The most that read ahead at a time.
    private static let mostReadAheads = 4
    /// The most read-aheads that wait.
    private static let mostWaiting = 64

    private var reads: [Fetch] = []
    private var readAheads: [Fetch] = []
    private var running = (reads: 0, readAheads: 0)

    /// Adds a fetch behind those for the same reason. Of many that read ahead, the oldest is dropped: a read of its bytes fetches
    /// them.
    mutating func add(_ fetch: @escaping Fetch, for reason: Reason) {
        switch reason {
        case .read: reads.append(fetch)
        case .readAhead:
            readAheads.append(fetch)
            if readAheads.count > Self.mostWaiting { readAheads.removeFirst() }
        }
    }

    /// The next fetch to start; nil if none may start now. Each one is to be finished.
    mutating func next() -> (fetch: Fetch, reason: Reason)? {
        if !reads.isEmpty {
            guard running.reads < Self.mostReads else { return nil }
            running.reads += 1
            return (reads.removeFirst(), .read)
        }
        guard running.reads == 0, running.readAheads < Self.mostReadAheads, !readAheads.isEmpty else { return nil }
        running.readAheads += 1
        return (readAheads.removeFirst(), .readAhead)
    }

    mutating func finish(_ reason: Reason) {
        switch reason {
        case .read: running.reads -= 1
        case .readAhead: running.readAheads -= 1
        }
    }
}
