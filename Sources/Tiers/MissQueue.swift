import Storage

/// The shards that wait for a fetch, by request. Requests have turns.
struct MissQueue {
    private struct Waiting {
        var misses: [TierFetcher.Miss] = []
        /// The number of misses that were returned.
        var next = 0
    }

    /// The requests with misses, in the order of their turns.
    private var turns: [ObjectIdentifier] = []
    private var waiting: [ObjectIdentifier: Waiting] = [:]
    /// The number of groups that are being fetched.
    private var running = 0

    mutating func append(_ miss: TierFetcher.Miss, for request: ObjectIdentifier) {
        if waiting[request] == nil { turns.append(request) }
        waiting[request, default: Waiting()].misses.append(miss)
    }

    /// The misses to fetch next: as many of the request whose turn it is as a group has, or one. After a group, call
    /// ``endGroup()``.
    ///
    /// - Parameter groups: the most groups at the same time; with as many, a single miss is returned.
    /// - Returns: nil if none waits.
    mutating func next(groups: Int) -> [TierFetcher.Miss]? {
        if turns.isEmpty { return nil }
        let request = turns.removeFirst()
        guard var queue = waiting.removeValue(forKey: request) else { return nil }
        var batch = ShardBatch()
        let first = queue.next
        while queue.next < queue.misses.count, batch.add(bytes: queue.misses[queue.next].bytes) {
            queue.next += 1
            if running >= groups { break }
        }
        let misses = Array(queue.misses[first..<queue.next])
        if queue.next < queue.misses.count {
            waiting[request] = queue
            turns.append(request)
        }
        if misses.count > 1 { running += 1 }
        return misses
    }

    mutating func endGroup() { running -= 1 }
}
