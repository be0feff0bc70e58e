/// The turns of the fetches of one file.
///
/// What a reader waits for is fetched before what follows it. Read-ahead has the link and the processors to itself, or waits:
/// beside the fetch of a wanted shard it would share both with it. One that has begun is not interrupted.
struct FetchOrder: Sendable {
    /// What a fetch is for.
    enum Reason { case read, readAhead }

    typealias Fetch = @Sendable () -> Void

    /// The most fetches at a time: readers of other files need the threads, too.
    private static let most = 8

    private var reads: [Fetch] = []
    private var readAheads: [Fetch] = []
    /// The number of fetches in progress, and how many of them a reader waits for.
    private var running = (all: 0, reads: 0)

    /// Adds a fetch behind those for the same reason. Of many that read ahead, the oldest is dropped: its reader has passed it.
    mutating func add(_ fetch: @escaping Fetch, for reason: Reason) {
        switch reason {
        case .read: reads.append(fetch)
        case .readAhead:
            readAheads.append(fetch)
            if readAheads.count > Self.most { readAheads.removeFirst() }
        }
    }

    /// The next fetch to start; nil if none may start now. Each one is to be finished.
    mutating func next() -> (fetch: Fetch, reason: Reason)? {
        guard running.all < Self.most else { return nil }
        if !reads.isEmpty {
            running.all += 1
            running.reads += 1
            return (reads.removeFirst(), .read)
        }
        guard running.reads == 0, !readAheads.isEmpty else { return nil }
        running.all += 1
        return (readAheads.removeFirst(), .readAhead)
    }

    mutating func finish(_ reason: Reason) {
        running.all -= 1
        if reason == .read { running.reads -= 1 }
    }
}
