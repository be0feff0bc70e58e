import DeviceMemory
import Policies
import Storage
import Support
import Synchronization

/// The options of a tier, which apply when it is opened.
public struct TierOptions: Sendable {
    /// The most bytes. Nil means the memory that is available to the process, within the limits of its container: all of
    /// it in RAM, half of it if the pages are locked or on the device `host`, and nine tenths of the free memory of a
    /// GPU.
    public var budget: Int?
    /// Whether to lock the pages of the RAM tier in memory, so that the kernel cannot reclaim them.
    public var locksPages = false
    /// Whether the blob of each shard is hashed before it is loaded. A damaged one is treated as a missing one: it is
    /// moved to quarantine, and fetched from an origin.
    public var verifies = false
    /// The eviction policy.
    public var policy = Policy.lru
    /// Fractions of the budget: above `high`, shards are evicted in the background down to `low`, so that loads find
    /// free space. Nil evicts only when a load needs space, which is better if the shards in constant use fill the
    /// budget.
    public var watermarks: (high: Double, low: Double)?

    /// Creates options.
    public init(
        budget: Int? = nil, locksPages: Bool = false, verifies: Bool = false, policy: Policy = .lru,
        watermarks: (high: Double, low: Double)? = nil
    ) {
        self.budget = budget
        self.locksPages = locksPages
        self.verifies = verifies
        self.policy = policy
        self.watermarks = watermarks
    }
}

/// The memory tiers of a store, opened at their first use.
package final class TierSet: Sendable {
    /// The number of threads that populate mappings, or fill staging buffers. Measured with one disk and two cores, the
    /// throughput is highest with two to four.
    package static let readers = 4
    /// The number of staging buffers of a device.
    static let stagingBuffers = 6
    /// The size of a staging buffer, in bytes.
    static let stagingBytes = 8 << 20

    private let tiers = Mutex<[Tier: MemoryTier]>([:])
    private let path: @Sendable (ContentDigest) -> String
    private let recorder: AccessRecorder
    private let fetcher = TierFetcher()

    package init(recorder: AccessRecorder, path: @escaping @Sendable (ContentDigest) -> String) {
        self.recorder = recorder
        self.path = path
    }

    /// Sets the function that fetches shards without a file.
    package func fetches(_ body: @escaping TierFetcher.Fetch) { fetcher.setFetch(body) }

    /// The open tiers.
    package var all: [MemoryTier] { tiers.withLock { Array($0.values) } }

    /// The tier, opened with `options` if it is not open yet.
    ///
    /// - Throws: ``DeviceError``, ``PolicyError/refused(policy:line:message:)``.
    package func open(_ tier: Tier, _ options: TierOptions = TierOptions()) throws -> MemoryTier {
        try tiers.withLock { tiers in
            if let open = tiers[tier] { return open }
            let opened = try make(tier, options)
            tiers[tier] = opened
            return opened
        }
    }

    /// Removes the tier from the set. Leases on its shards stay valid.
    package func close(_ tier: Tier) { _ = tiers.withLock { $0.removeValue(forKey: tier) } }

    private func make(_ tier: Tier, _ options: TierOptions) throws -> MemoryTier {
        let order = try EvictionOrder(options.policy)
        switch tier {
        case .ram:
            let threads = try WorkerThreads(count: Self.readers)
            // The kernel reclaims mapped pages when other memory is needed, but not locked ones: a process that locks
            // all memory ends the next one that needs some, or itself.
            let share = options.locksPages ? 2 : 1
            return MemoryTier(
                tier, medium: try verified(RAMMedium(threads: threads, locksPages: options.locksPages), options),
                budget: try options.budget ?? DeviceName.host.open().memory().free / share, order: order,
                watermarks: options.watermarks,
                fetcher: fetcher, recorder: recorder, path: path)
        case .device(let name):
            let device = try name.open()
            let free = try device.memory().free
            let isHostMemory = name.kind.isHostMemory
            let budget = options.budget ?? (isHostMemory ? free / 2 : free / 10 * 9)
            // Ordinary memory is allocated on demand; a GPU's up front, so that no load waits for cuMemAlloc.
            let arena = try DeviceArena(device, budget: budget, firstSlabBytes: isHostMemory ? 0 : nil)
            let uploader = try Uploader(
                device, buffers: Self.stagingBuffers, bufferBytes: Self.stagingBytes, fillers: Self.readers)
            return MemoryTier(
                tier, medium: try verified(DeviceMedium(arena: arena, uploader: uploader), options),
                budget: arena.budget, order: order, watermarks: options.watermarks, fetcher: fetcher,
                recorder: recorder, path: path)
        }
    }

    private func verified(_ medium: some TierMedium, _ options: TierOptions) throws -> any TierMedium {
        guard options.verifies else { return medium }
        return VerifyingMedium(medium, threads: try WorkerThreads(count: Self.readers))
    }
}
