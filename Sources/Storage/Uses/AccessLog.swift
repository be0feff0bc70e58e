import Dispatch
import GRDB
import Logging
import Support
import Synchronization

/// A component that counts uses of shards itself, by digest.
package protocol UseSource: Sendable {
    /// Returns the uses of shards since the last call, each with the age of the last one, and what else was counted: hits,
    /// misses, loads and evictions. Resets the counts.
    func drainUses() -> DrainedUses
}

/// What a `UseSource` has counted.
package struct DrainedUses: Sendable {
    package var uses: [(digest: ContentDigest, count: Int, secondsAgo: Double)] = []
    package var activity: [ActivityValue] = []

    package init() {}
}

/// Counts accesses in memory, and writes them to the catalog in batches: reads are not writes.
///
/// A batch is written when it is large, after a minute, before an eviction, and when the store is closed. No reader
/// waits for that: a separate queue writes the batch, and waits for the write lock for a limited time only. A batch
/// that could not be written is merged with the next. A crash, or a write lock held by another process while the store
/// is closed, loses at most one batch of counts; a full disk can lose more. A read never fails for this reason.
///
/// The same transaction adds the counts of `Catalog.activity`, and its queue writes the statistics of this process, every
/// second.
package final class AccessLog: Sendable {
    private struct Use {
        var count = 0
        /// Seconds since 1970.
        var last = 0

        mutating func add(_ count: Int, at moment: Int) {
            self.count += count
            last = max(last, moment)
        }
    }

    private struct Uses {
        var shards: [Int64: Use] = [:]
        /// For shards in memory tiers, which have only digests.
        var digests: [ContentDigest: Use] = [:]
        var revisions: [Int64: Use] = [:]
        var prompts: [Int64: Use] = [:]
        /// The uses of `shards`, which were read from the disk.
        var hits = 0
        var isEmpty: Bool { shards.isEmpty && digests.isEmpty && revisions.isEmpty && prompts.isEmpty }

        mutating func merge(_ other: Uses) {
            for (id, use) in other.shards { shards[id, default: Use()].add(use.count, at: use.last) }
            for (digest, use) in other.digests { digests[digest, default: Use()].add(use.count, at: use.last) }
            for (id, use) in other.revisions { revisions[id, default: Use()].add(use.count, at: use.last) }
            for (id, use) in other.prompts { prompts[id, default: Use()].add(use.count, at: use.last) }
        }
    }

    /// The number of shards at which a batch is written immediately.
    package static let batch = 4096
    /// The seconds after which a batch is written that has fewer shards.
    package static let interval = 60
    /// The longest wait of a flush for the write lock.
    package static let lockTimeout = Duration.seconds(2)

    private let catalog: Catalog
    private let logger: Logger
    private let sources: @Sendable () -> [any UseSource]
    private let recorder: AccessRecorder
    /// Whether uses are counted, and statistics written.
    private let counts: Bool
    private let writeStatistics: @Sendable () -> Void
    /// The seconds since the last batch. Used on the queue only.
    private let seconds = Atomic<Int>(0)
    private let uses = Mutex(Uses())
    private let queue = DispatchQueue(label: "weightstore.accesses")
    /// Dispatch's objects are safe to use from any thread.
    nonisolated(unsafe) private let timer: any DispatchSourceTimer

    /// - Parameters:
    ///   - counts: whether uses are counted, and statistics written. In a store that can only be read they are not.
    ///   - sources: components that count uses of shards themselves, such as memory tiers.
    ///   - writeStatistics: called every second on the queue, if the store can be written. It must not hold the store, of
    ///     which the last release waits for the queue.
    package init(
        catalog: Catalog, counts: Bool, recorder: AccessRecorder, logger: Logger,
        sources: @escaping @Sendable () -> [any UseSource], writeStatistics: @escaping @Sendable () -> Void
    ) throws {
        self.catalog = catalog
        self.writeStatistics = writeStatistics
        self.counts = counts
        self.sources = sources
        self.recorder = recorder
        self.logger = logger
        recorder.isOn = counts && Self.isRecording(catalog)
        timer = DispatchSource.makeTimerSource(queue: queue)
        timer.schedule(deadline: .now() + .seconds(1), repeating: .seconds(1), leeway: .milliseconds(200))
        timer.setEventHandler { [weak self] in self?.secondPassed() }
        timer.resume()
    }

    private func secondPassed() {
        if !counts { return }
        writeStatistics()
        guard seconds.add(1, ordering: .relaxed).newValue >= Self.interval else { return }
        write(isLast: false)
    }

    deinit { timer.cancel() }

    /// Counts an access to a revision.
    package func revision(_ id: Int64) {
        if !counts { return }
        uses.withLock { $0.revisions[id, default: Use()].add(1, at: StoreClock.now) }
    }

    /// Counts a use of each prompt.
    package func prompts(_ ids: some Sequence<Int64>) {
        if !counts { return }
        uses.withLock { uses in
            for id in ids { uses.prompts[id, default: Use()].add(1, at: StoreClock.now) }
        }
    }

    /// Counts an access to each shard, given by the id of its row.
    package func shards(_ ids: some Sequence<Int64>) {
        if !counts { return }
        let now = StoreClock.now
        let isFull = uses.withLock { uses in
            for id in ids {
                uses.shards[id, default: Use()].add(1, at: now)
                uses.hits += 1
            }
            return uses.shards.count >= Self.batch
        }
        if recorder.isOn { recorder.record(rows: ids) }
        if isFull { queue.async { [weak self] in self?.write(isLast: false) } }
    }

    /// Writes the counts to the catalog, if the write lock is free within `lockTimeout`.
    ///
    /// - Parameter isLast: whether to discard counts that cannot be written, and to write no more statistics.
    package func flush(isLast: Bool = false) {
        if isLast { timer.cancel() }
        queue.sync { write(isLast: isLast) }
    }

    private func write(isLast: Bool) {
        if !counts { return }
        seconds.store(0, ordering: .relaxed)
        var taken = uses.withLock { uses in
            defer { uses = Uses() }
            return uses
        }
        let now = StoreClock.now
        for source in sources() {
            let drained = source.drainUses()
            for use in drained.uses {
                taken.digests[use.digest, default: Use()].add(
                    use.count, at: now.subtracting(saturating: Int(saturating: use.secondsAgo)))
            }
            catalog.activity.add(drained.activity)
        }
        catalog.activity.add(Double(taken.hits), to: .hits, SourceKind.disk.rawValue)
        taken.hits = 0
        let counted = catalog.activity.drain()
        do {
            // A short process that has changed the catalog does not wait for the lock once more for that count.
            if !taken.isEmpty || !(isLast ? counted.hasOnlyWrites : counted.isEmpty) {
                try catalog.write(durable: false, within: Self.lockTimeout) { db in
                    try Self.save(taken, db)
                    try counted.save(at: now, db)
                }
            }
            recorder.isOn = Self.isRecording(catalog)
            try recorder.flush(catalog)
        } catch StorageError.busy where !isLast {
            uses.withLock { $0.merge(taken) }
            catalog.activity.restore(counted)
        } catch {
            logger.warning("access counts were lost: \(error)")
        }
    }

    private static func isRecording(_ catalog: Catalog) -> Bool {
        // A damaged setting does not keep a store from opening, so that it can be set again.
        (try? catalog.read(AccessRecorder.isOn)) ?? false
    }

    private static func save(_ uses: Uses, _ db: Database) throws {
        let clocks = (weights: try EvictionClock(.weights).now(db), kv: try EvictionClock(.kv).now(db))
        for (id, use) in uses.shards {
            try ShardTable.countUses(of: .id(id), use.count, last: use.last, clocks: clocks, db)
        }
        for (digest, use) in uses.digests {
            try ShardTable.countUses(of: .digest(digest), use.count, last: use.last, clocks: clocks, db)
        }
        for (id, use) in uses.revisions { try RevisionTable.countUses(of: id, use.count, last: use.last, db) }
        for (id, use) in uses.prompts { try PromptTable.countUses(of: id, use.count, last: use.last, db) }
    }
}
