import Dispatch
import GRDB
import Logging
import Synchronization

/// Counts uses of shards by itself, by digest.
package protocol UseSource: Sendable {
    /// The uses since the last call, and how long ago the last one was.
    func takeUses() -> [(digest: ContentDigest, count: Int, secondsAgo: Double)]
}

/// Counts accesses in memory, and writes them to the catalog in batches: reads are not writes.
///
/// A batch is written when it is large, after a minute, before an eviction, and when the store goes. No reader waits for
/// that: it happens on a queue of its own, and waits for the write lock for a bounded time only; a batch that could not
/// be written goes with the next. A crash, or a write lock that somebody holds while the store goes, loses at most one
/// batch of counts, and a full disk as many as it likes: never a read.
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
        /// Of shards in memory tiers, which know digests alone.
        var digests: [ContentDigest: Use] = [:]
        var revisions: [Int64: Use] = [:]
        var prompts: [Int64: Use] = [:]
        var isEmpty: Bool { shards.isEmpty && digests.isEmpty && revisions.isEmpty && prompts.isEmpty }

        mutating func merge(_ other: Uses) {
            for (id, use) in other.shards { shards[id, default: Use()].add(use.count, at: use.last) }
            for (digest, use) in other.digests { digests[digest, default: Use()].add(use.count, at: use.last) }
            for (id, use) in other.revisions { revisions[id, default: Use()].add(use.count, at: use.last) }
            for (id, use) in other.prompts { prompts[id, default: Use()].add(use.count, at: use.last) }
        }
    }

    /// A batch of so many shards is written at once.
    package static let batch = 4096
    /// Seconds after which a smaller one is written.
    package static let interval = 60
    /// How long a flush waits for the write lock.
    package static let patience = Duration.seconds(2)

    private let catalog: Catalog
    private let logger: Logger
    private let sources: @Sendable () -> [any UseSource]
    private let recorder: AccessRecorder
    private let uses = Mutex(Uses())
    private let queue = DispatchQueue(label: "weightstore.accesses")
    /// Dispatch's own objects may be used from any thread.
    nonisolated(unsafe) private let timer: any DispatchSourceTimer

    /// - Parameter sources: what counts uses of shards by itself, such as memory tiers.
    package init(
        catalog: Catalog, recorder: AccessRecorder, logger: Logger, sources: @escaping @Sendable () -> [any UseSource]
    ) throws {
        self.catalog = catalog
        self.sources = sources
        self.recorder = recorder
        self.logger = logger
        recorder.isOn = try catalog.read(AccessRecorder.isOn)
        timer = DispatchSource.makeTimerSource(queue: queue)
        timer.schedule(
            deadline: .now() + .seconds(Self.interval), repeating: .seconds(Self.interval), leeway: .seconds(5))
        timer.setEventHandler { [weak self] in self?.write(isLast: false) }
        timer.resume()
    }

    deinit { timer.cancel() }

    package func revision(_ id: Int64) {
        uses.withLock { $0.revisions[id, default: Use()].add(1, at: StoreClock.now) }
    }

    package func prompts(_ ids: some Sequence<Int64>) {
        uses.withLock { uses in
            for id in ids { uses.prompts[id, default: Use()].add(1, at: StoreClock.now) }
        }
    }

    package func shards(_ ids: some Sequence<Int64>) {
        let now = StoreClock.now
        let isFull = uses.withLock { uses in
            for id in ids { uses.shards[id, default: Use()].add(1, at: now) }
            return uses.shards.count >= Self.batch
        }
        if recorder.isOn { recorder.record(rows: ids) }
        if isFull { queue.async { [weak self] in self?.write(isLast: false) } }
    }

    /// Writes what was counted, if the write lock is to be had soon.
    ///
    /// - Parameter isLast: whether what can't be written is given up.
    package func flush(isLast: Bool = false) {
        queue.sync { write(isLast: isLast) }
    }

    private func write(isLast: Bool) {
        var taken = uses.withLock { uses in
            defer { uses = Uses() }
            return uses
        }
        let now = StoreClock.now
        for use in sources().flatMap({ $0.takeUses() }) {
            taken.digests[use.digest, default: Use()].add(use.count, at: now - Int(use.secondsAgo))
        }
        do {
            if !taken.isEmpty {
                try catalog.write(durable: false, within: Self.patience) { db in try Self.save(taken, db) }
            }
            recorder.isOn = try catalog.read(AccessRecorder.isOn)
            try recorder.flush(catalog)
        } catch StorageError.busy where !isLast {
            uses.withLock { $0.merge(taken) }
        } catch {
            logger.warning("access counts were lost: \(error)")
        }
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
