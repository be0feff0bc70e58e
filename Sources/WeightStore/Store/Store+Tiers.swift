import Files
import Foundation
import GRDB
import Storage
import Tiers

extension Store {
    /// Opens a tier, also one that was closed. A tier that is not opened explicitly is opened with the default options at
    /// its first use.
    ///
    /// - Throws: ``DeviceError``; ``StorageError/invalid(what:value:reason:)`` if the tier is open already, or the budget
    ///   of the environment (``TierBudget/variable(for:)``) is invalid.
    public func open(_ tier: Tier, _ options: TierOptions = TierOptions()) throws { try tiers.open(tier, options) }

    /// The gauges of the open tiers, sorted by name.
    public var gauges: [TierGauge] { tiers.all.map(\.gauge).sorted { $0.tier.description < $1.tier.description } }

    /// Evicts all shards of a tier that no lease holds, and returns their memory: that of a device to the device, and in
    /// `ram` the mappings. Disk space of removed files that only these mappings kept is free afterwards.
    ///
    /// - Returns: the bytes evicted; 0 if the tier is not open.
    @discardableResult
    public func clear(_ tier: Tier) -> Int { tiers.all.first { $0.tier == tier }?.clear() ?? 0 }

    /// Evicts the shards of `ram` whose files were removed, unless a lease holds them: their mappings keep disk space.
    func releaseRemovedFiles() {
        // Without the directory, as on an unmounted disk, no file says that it was removed.
        guard FileSystem.exists(blobs.root) else { return }
        tiers.all.first { $0.tier == .ram }?.evictRemoved()
    }

    /// As `releaseRemovedFiles`, after commits that may have removed files. The background eviction calls it while the
    /// store is open.
    func releaseRemovedFilesPeriodically() {
        do {
            if removals.isDue(try catalog.read(CommitCounter.value)) { releaseRemovedFiles() }
        } catch {
            logger.debug("the commits could not be counted: \(error)")
        }
    }

    /// Closes a tier: evicts all shards that no lease holds, and the others when their last lease ends. Leases in it are
    /// refused with ``TierError/closed(tier:)`` until ``open(_:_:)`` opens it again, possibly with other options.
    ///
    /// - Returns: the bytes evicted at once; 0 if the tier was not open.
    @discardableResult
    public func close(_ tier: Tier) -> Int {
        // The uses of its shards are counted before it is forgotten.
        accesses.flush()
        return tiers.close(tier)
    }
}
