import Dispatch
import GRDB
import Glibc
import Storage
import Synchronization

extension Store {
    /// Before an import writes `bytes` more: evicts if they would not fit the quota.
    ///
    /// - Throws: ``StoreError/quotaFull(quota:stored:requested:evictable:)`` if there is still no room then.
    func makeRoomForImport(_ bytes: Int) throws {
        guard let (quota, stored) = try evictFor(bytes) else { return }
        throw StoreError.quotaFull(
            quota: quota, stored: stored, requested: bytes, evictable: try diskGauge().evictable)
    }

    /// Before a fetch: evicts if the shard would not fit the quota. If too little may go, the fetch goes on.
    func makeRoomForFetch(_ bytes: Int) throws {
        guard let (quota, stored) = try evictFor(bytes) else { return }
        // Once is enough: a model that does not fit comes in shard by shard.
        guard !background.hasWarned.exchange(true, ordering: .relaxed) else { return }
        logger.warning(
            "the quota of \(quota) bytes is exceeded: \(stored) are stored and can't be evicted, \(bytes) more are in use"
        )
    }

    /// - Returns: the quota and what is stored, if there is no room for `bytes`.
    private func evictFor(_ bytes: Int) throws -> (quota: Int, stored: Int)? {
        let (quota, stored) = try quotaAndStored()
        guard let limit = quota.bytes, stored + bytes > limit else { return nil }
        let target = max(min((quota.lowBytes ?? 0), limit - bytes), 0)
        let after = try evictBlocking(EvictionRequest(.downTo(target))).stored
        return after + bytes > limit ? (limit, after) : nil
    }

    /// Above the high watermark, evicts down to the low one, on a thread of its own: nobody waits for it, unless the store
    /// goes.
    func evictInBackground() {
        // Without an answer there is nothing to do here: the next fetch asks again.
        guard let (quota, stored) = try? quotaAndStored(), stored > quota.highBytes ?? .max else { return }
        guard !background.isRunning.exchange(true, ordering: .acquiringAndReleasing) else { return }
        background.queue.async { [weak self, background] in
            defer { background.isRunning.store(false, ordering: .releasing) }
            guard let self else { return }
            do {
                try evictIfIdle(EvictionRequest(.quota))
            } catch {
                logger.warning("eviction in the background: \(error)")
            }
        }
    }

    /// As `evictInBackground`, at once.
    func evictAboveWatermark() {
        do {
            let (quota, stored) = try quotaAndStored()
            if stored > quota.highBytes ?? .max { try evictBlocking(EvictionRequest(.quota)) }
        } catch {
            // What brought the store here is done, and safe.
            logger.warning("eviction above the high watermark: \(error)")
        }
    }

    private func quotaAndStored() throws -> (Quota, Int) {
        try catalog.read { db in (try Quota(.weights, db), try Totals.bytes(.weights, db)) }
    }
}
