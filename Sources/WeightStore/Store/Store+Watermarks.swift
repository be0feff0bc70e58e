import Dispatch
import Files
import GRDB
import Glibc
import Storage
import Support
import Synchronization

extension Store {
    /// Refuses a download or an import of `bytes` that cannot fit, before its first byte. Evicts nothing.
    ///
    /// - Throws: ``StoreError/quotaFull(quota:stored:requested:evictable:)``; ``FileError/diskFull(path:lacksInodes:)``.
    func checkRoom(for bytes: Int) throws {
        let (quota, stored) = try quotaAndStored()
        var evictable = 0
        if let limit = quota.bytes, bytes > limit - stored {
            evictable = try diskGauge().evictable
            guard bytes <= limit - (stored - evictable) else {
                throw StoreError.quotaFull(quota: limit, stored: stored, requested: bytes, evictable: evictable)
            }
        }
        guard bytes <= (try FileSystem.availableBytes(path)) + evictable else { throw FileError.diskFull(path: path) }
    }

    /// Evicts until `bytes` that an import or a pull is about to write fit the quota.
    ///
    /// - Parameter work: cancelling it ends the wait for another eviction.
    /// - Throws: ``StoreError/quotaFull(quota:stored:requested:evictable:)`` if they do not fit after the eviction.
    func makeRoomForImport(_ bytes: Int, _ work: Work) throws {
        guard let (quota, stored) = try evictFor(bytes, work) else { return }
        throw StoreError.quotaFull(
            quota: quota, stored: stored, requested: bytes, evictable: try diskGauge().evictable)
    }

    /// Evicts until a shard that is about to be fetched fits the quota and the disk.
    ///
    /// - Throws: ``StoreError/quotaFull(quota:stored:requested:evictable:)``; ``FileError/diskFull(path:lacksInodes:)``.
    func makeRoomForFetch(_ bytes: Int, _ work: Work) throws {
        try checkRoom(for: bytes)
        do {
            try makeRoomForImport(bytes, work)
        } catch let error as StorageError where error.isRefusedDeletion {
            // Nothing may be deleted from the store, but it can be read.
            logger.warning("cannot evict to make space: \(error)")
            let (quota, stored) = try quotaAndStored()
            throw StoreError.quotaFull(quota: quota.bytes ?? 0, stored: stored, requested: bytes, evictable: 0)
        }
    }

    /// - Returns: nil if there is room for `bytes`; otherwise the quota and the stored bytes after the eviction.
    private func evictFor(_ bytes: Int, _ work: Work) throws -> (quota: Int, stored: Int)? {
        let (quota, stored) = try quotaAndStored()
        guard let limit = quota.bytes, stored + bytes > limit else { return nil }
        let target = max(min((quota.lowBytes ?? 0), limit - bytes), 0)
        // Its progress is not that of the import or the fetch.
        let summary = try evictBlocking(EvictionRequest(.downTo(target)), work: Work(within: work))
        logEviction(summary)
        let after = summary.stored
        return after + bytes > limit ? (limit, after) : nil
    }

    /// Ends the eviction above the high watermarks that runs in the background, waits until it has ended, and begins no
    /// other. Call it before the last reference to the store is released, if nothing may be read or written afterwards: an
    /// eviction that is running keeps the store open.
    public func stopEvicting() { background.stop() }

    /// Above the high watermark, evicts down to the low one on a background queue, which keeps the store open
    /// meanwhile.
    func evictInBackground() {
        if background.work.isCancelled { return }
        // An error is ignored: the next fetch checks again.
        guard let (quota, stored) = try? quotaAndStored(), stored > quota.highBytes ?? .max else { return }
        guard !background.isRunning.exchange(true, ordering: .acquiringAndReleasing) else { return }
        background.queue.async { [weak self, background] in
            defer { background.isRunning.store(false, ordering: .releasing) }
            guard let self else { return }
            do {
                _ = try evictIfIdle(EvictionRequest(.quota))
            } catch is CancellationError {
                // The store is being closed.
            } catch {
                logger.warning("background eviction failed: \(error)")
            }
        }
    }

    /// Evicts weights and KV blocks down to the low watermarks if they are above the high ones. The background eviction
    /// calls it while the store is open.
    func evictPeriodically() {
        for kind in QuotaKind.allCases where !background.work.isCancelled {
            do {
                try evictPeriodically(kind)
            } catch is CancellationError {
                return
            } catch {
                logger.warning("background eviction failed: \(error)")
            }
        }
    }

    private func evictPeriodically(_ kind: QuotaKind) throws {
        let state: (quota: Quota, stored: Int)
        do {
            state = try quotaAndStored(kind)
        } catch {
            // A damaged quota is not logged at every check.
            guard background.isDue(kind, nil) else { return }
            background.note(kind, nil, isEnough: false)
            throw error
        }
        let (quota, stored) = state
        guard let high = quota.highBytes, stored > high, background.isDue(kind, quota) else { return }
        // An error delays the next attempt, too; an eviction of another process does not.
        var left: Int? = .max
        defer { if let left { background.note(kind, quota, isEnough: left <= high) } }
        left = try evictIfIdle(EvictionRequest(.quota, of: kind))
        if let left, left > high {
            logger.warning(
                "\(kind.rawValue): \(Quantity.bytes(left)) are stored, above the high watermark of \(Quantity.bytes(high)), and no more can be evicted now"
            )
        }
    }

    /// As `evictInBackground`, in the calling thread.
    func evictAboveWatermark() {
        do {
            let (quota, stored) = try quotaAndStored()
            if stored > quota.highBytes ?? .max { try evictBlocking(EvictionRequest(.quota)) }
        } catch {
            // Logged and not thrown: the import or pull that triggered the eviction has succeeded.
            logger.warning("eviction above the high watermark failed: \(error)")
        }
    }

    private func quotaAndStored(_ kind: QuotaKind = .weights) throws -> (Quota, Int) {
        try catalog.read { db in (try Quota(kind, db), try Totals.bytes(kind, db)) }
    }
}
