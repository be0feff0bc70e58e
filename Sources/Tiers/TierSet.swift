import DeviceMemory
import Policies
import Storage
import Support
import Synchronization

/// How a tier is to be opened.
public struct TierOptions: Sendable {
    /// Bytes at most; nil means half of the memory that is free now, nine tenths of a GPU's.
    public var budget: Int?
    /// Lock the pages of the RAM tier, so that the kernel never takes them back.
    public var locksPages = false
    /// Which shards go first when there is no room.
    public var policy = Policy.lru
    /// Shares of the budget: above `high` shards are evicted in the background, down to `low`, so that a load finds room
    /// without evicting. nil evicts only for a load: right where what is used all the time fills the budget.
    public var watermarks: (high: Double, low: Double)?

    public init(
        budget: Int? = nil, locksPages: Bool = false, policy: Policy = .lru,
        watermarks: (high: Double, low: Double)? = nil
    ) {
        self.budget = budget
        self.locksPages = locksPages
        self.policy = policy
        self.watermarks = watermarks
    }
}

/// The memory tiers of a store, opened at their first use.
package final class TierSet: Sendable {
    /// Threads that populate mappings: measured, one disk and two cores give the most with two to four.
    package static let readers = 4
    /// Staging buffers of a device, and threads that fill them.
    static let stagingBuffers = 6
    static let stagingBytes = 8 << 20

    private let tiers = Mutex<[Tier: MemoryTier]>([:])
    private let path: @Sendable (ContentDigest) -> String
    private let recorder: AccessRecorder
    private let fetcher = TierFetcher()

    package init(recorder: AccessRecorder, path: @escaping @Sendable (ContentDigest) -> String) {
        self.recorder = recorder
        self.path = path
    }

    /// Says how a shard is brought back whose file is not there.
    package func fetches(_ body: @escaping TierFetcher.Fetch) { fetcher.setFetch(body) }

    package var all: [MemoryTier] { tiers.withLock { Array($0.values) } }

    /// The tier, opened with `options` if it is not open yet.
    ///
    /// - Throws: ``DeviceError``.
    package func open(_ tier: Tier, _ options: TierOptions = TierOptions()) throws -> MemoryTier {
        try tiers.withLock { tiers in
            if let open = tiers[tier] { return open }
            let opened = try make(tier, options)
            tiers[tier] = opened
            return opened
        }
    }

    package func close(_ tier: Tier) { _ = tiers.withLock { $0.removeValue(forKey: tier) } }

    private func make(_ tier: Tier, _ options: TierOptions) throws -> MemoryTier {
        let order = try EvictionOrder(options.policy)
        switch tier {
        case .ram:
            let threads = try WorkerThreads(count: Self.readers)
            return MemoryTier(
                tier, medium: RAMMedium(threads: threads, locksPages: options.locksPages),
                budget: try options.budget ?? DeviceName.host.open().memory().free / 2, order: order,
                watermarks: options.watermarks,
                fetcher: fetcher, recorder: recorder, path: path)
        case .device(let name):
            let device = try name.open()
            let free = try device.memory().free
            let isHostMemory = name.kind.isHostMemory
            let budget = options.budget ?? (isHostMemory ? free / 2 : free / 10 * 9)
            // Ordinary memory is there at once; a GPU's is allocated up front, so that no load waits for cuMemAlloc.
            let arena = try DeviceArena(device, budget: budget, upFront: isHostMemory ? 0 : nil)
            let uploader = try Uploader(
                device, buffers: Self.stagingBuffers, bufferBytes: Self.stagingBytes, fillers: Self.readers)
            return MemoryTier(
                tier, medium: DeviceMedium(arena: arena, uploader: uploader), budget: arena.budget, order: order,
                watermarks: options.watermarks, fetcher: fetcher, recorder: recorder, path: path)
        }
    }
}
