import DeviceMemory
import Policies
import Storage
import Support
import Synchronization

/// The options of a tier, which apply when it is opened.
public struct TierOptions: Sendable {
    /// The most bytes. Nil means the budget of the environment (``TierBudget/variable(for:)``), or else the memory that
    /// is available to the process, within the limits of its container: all of it in RAM, half of it if the pages are
    /// locked or on the device `host`. On a GPU it then means what is free when a load needs memory, except a tenth of the
    /// GPU's memory; and shards that no lease has used for a minute are evicted, unless a warm-up has loaded them.
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

    /// The part of a GPU's memory that a tier without a budget leaves to the engine: one of so many.
    static let reservedShare = 10
    /// The time after which a GPU tier without a budget evicts what no lease uses.
    static let idleMilliseconds = 60_000

    private struct State {
        var open: [Tier: MemoryTier] = [:]
        /// The tiers that were closed, and not opened again.
        var closed: Set<Tier> = []
    }

    private let state = Mutex(State())
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
    package var all: [MemoryTier] { state.withLock { Array($0.open.values) } }

    /// The tier, opened with the default options if it is not open yet.
    ///
    /// - Throws: ``TierError/closed(tier:)``; as ``open(_:_:)``.
    package func open(_ tier: Tier) throws -> MemoryTier {
        try state.withLock { state in
            if let known = state.open[tier] { return known }
            if state.closed.contains(tier) { throw TierError.closed(tier: tier) }
            return try add(tier, TierOptions(), to: &state)
        }
    }

    /// Opens a tier, also one that was closed.
    ///
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` if it is open, or a budget of the environment is invalid;
    ///   ``DeviceError``, ``PolicyError/refused(policy:line:message:)``.
    @discardableResult
    package func open(_ tier: Tier, _ options: TierOptions) throws -> MemoryTier {
        try state.withLock { state in
            guard state.open[tier] == nil else {
                throw StorageError.invalid(
                    what: "tier to open", value: "\(tier)",
                    reason: "already open; open it before its first use, or close it first")
            }
            return try add(tier, options, to: &state)
        }
    }

    /// Closes a tier: leases in it are refused until it is opened again with options. Leases on its shards stay valid.
    ///
    /// - Returns: the bytes evicted at once.
    @discardableResult
    package func close(_ tier: Tier) -> Int {
        let known = state.withLock { state -> MemoryTier? in
            state.closed.insert(tier)
            return state.open.removeValue(forKey: tier)
        }
        return known?.close() ?? 0
    }

    private func add(_ tier: Tier, _ options: TierOptions, to state: inout State) throws -> MemoryTier {
        let opened = try make(tier, options)
        state.open[tier] = opened
        state.closed.remove(tier)
        return opened
    }

    private func make(_ tier: Tier, _ options: TierOptions) throws -> MemoryTier {
        let order = try EvictionOrder(options.policy)
        let given = try options.budget ?? TierBudget.ofEnvironment(for: tier)
        switch tier {
        case .ram:
            let threads = try WorkerThreads(count: Self.readers)
            // The kernel reclaims mapped pages when other memory is needed, but not locked ones: a process that locks
            // all memory ends the next one that needs some, or itself.
            let share = options.locksPages ? 2 : 1
            return MemoryTier(
                tier, medium: try verified(RAMMedium(threads: threads, locksPages: options.locksPages), options),
                budget: try given ?? DeviceName.host.open().memory().free / share, order: order,
                watermarks: options.watermarks,
                fetcher: fetcher, recorder: recorder, path: path)
        case .device(let name):
            let device = try name.open()
            let memory = try device.memory()
            let isShared = given == nil && !name.kind.isHostMemory
            let reserve = isShared ? memory.total / Self.reservedShare : 0
            let budget = given ?? (isShared ? memory.total - reserve : memory.free / 2)
            let arena = DeviceArena(device, budget: budget, reserve: reserve)
            let uploader = try Uploader(
                device, buffers: Self.stagingBuffers, bufferBytes: Self.stagingBytes, fillers: Self.readers)
            return MemoryTier(
                tier, medium: try verified(DeviceMedium(arena: arena, uploader: uploader), options),
                budget: arena.budget, order: order, watermarks: options.watermarks,
                idleMilliseconds: isShared ? Self.idleMilliseconds : nil, fetcher: fetcher, recorder: recorder,
                path: path)
        }
    }

    private func verified(_ medium: some TierMedium, _ options: TierOptions) throws -> any TierMedium {
        guard options.verifies else { return medium }
        return VerifyingMedium(medium, threads: try WorkerThreads(count: Self.readers))
    }
}
