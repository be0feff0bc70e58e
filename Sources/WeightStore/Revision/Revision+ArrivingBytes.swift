import Storage
import Support
import Synchronization

extension Revision {
    /// The end of a fetch whose reader may have been answered before it.
    private struct FetchEnding {
        var result: Result<StoredBytes, any Error>?
        var isAnswered = false
    }

    /// As ``bytes(of:in:continuing:work:)``, but the bytes of an absent shard are returned when it is whole and hashed, with the
    /// known digest if it was evicted. The fetch then makes it durable, on a thread of its own. If that fails, the error is
    /// logged, and the next read fetches the shard again.
    ///
    /// - Parameters:
    ///   - lost: the error of a read that found a blob missing or damaged; its shard is fetched again.
    ///   - work: cancelling it ends the fetch, as ``Store/stopFetching()`` does.
    package func arrivingBytes(
        of file: FileEntry, in range: Range<Int>, after lost: StorageError? = nil, work: Work
    ) throws -> StoredBytes {
        // The blob of a damaged shard has its size, and would be found again.
        if case .damaged = lost {
            return try fetchedBytes(of: file, in: range, continuing: true, after: lost, recovers: true, work: work)
        }
        return try store.arrived.whileWaiting { try arrivingBytes(file, range, lost, missWork(within: work)) }
    }

    private func arrivingBytes(
        _ file: FileEntry, _ range: Range<Int>, _ lost: StorageError?, _ work: Work
    ) throws -> StoredBytes {
        let ending = Mutex(FetchEnding())
        var isStarted = false
        var seen: Int?
        while true {
            seen = try store.arrived.wait(since: seen, work)
            if let result = ending.withLock({ $0.result }) { return try result.get() }
            if let found = try present(file, range) {
                let result = ending.withLock { ending in
                    ending.isAnswered = true
                    return ending.result
                }
                if let result { return try result.get() }
                return try StoredBytes(range, runs: found.runs, hold: hold, held: found.held) { [store] error in
                    try store.recover(from: error, work)
                }
            }
            if isStarted { continue }
            isStarted = true
            try startThread { [self] in
                let result = Result {
                    try fetchedBytes(of: file, in: range, continuing: true, after: lost, recovers: true, work: work)
                }
                let isAnswered = ending.withLock { ending in
                    ending.result = result
                    return ending.isAnswered
                }
                if isAnswered, case .failure(let error) = result, !(error is CancellationError) {
                    store.logger.error("\(name) \(file.path): bytes that were read could not be stored: \(error)")
                }
                store.arrived.noteChange()
            }
        }
    }
}
