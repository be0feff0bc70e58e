import Synchronization

/// Device memory under a budget: allocated from the device in slabs, and divided into regions without a device call.
///
///     let arena = try DeviceArena(device, budget: 60 << 30)
///     let region = try arena.allocate(bytes: shard.bytes)
///
/// The first slab, by default the whole budget, is allocated at the start, so that a load never waits for `cuMemAlloc`.
/// An arena that starts smaller grows by one slab at a time, up to its budget. Idle slabs are replaced by a larger one
/// if an allocation does not fit otherwise.
///
/// * Regions do not overlap. They begin at multiples of `alignment`, and their sizes are rounded up to it.
/// * `used + free = held ≤ budget` always holds.
/// * Adjacent free blocks of a slab are merged: an idle arena has one free block per slab.
package final class DeviceArena: Sendable {
    /// In bytes; the same as ``DeviceSlab/alignment``.
    package static let alignment = DeviceSlab.alignment

    package let device: any Device
    /// The upper limit of the memory allocated from the device, in bytes.
    package let budget: Int

    private struct State {
        var slabs: [UInt64: DeviceSlab] = [:]
        var free = FreeBlocks()
        var held = 0
        var regions = 0
    }

    private let slabBytes: Int
    private let state = Mutex(State())
    /// Held while a slab is allocated: other allocations wait, then use the new slab.
    private let growing = Mutex(())

    /// Allocates the first slab.
    ///
    /// - Parameters:
    ///   - budget: in bytes, rounded down to `alignment`.
    ///   - firstSlabBytes: size of the first slab in bytes, rounded down like the budget; nil for the whole budget.
    ///   - slabBytes: size of each later slab in bytes; a larger allocation gets a larger slab.
    /// - Throws: ``DeviceError/outOfMemory(_:requested:free:)`` if the device has less free memory.
    package init(
        _ device: any Device, budget: Int, firstSlabBytes: Int? = nil, slabBytes: Int = 1 << 30
    ) throws(DeviceError) {
        self.device = device
        self.budget = budget / Self.alignment * Self.alignment
        self.slabBytes = Self.rounded(slabBytes)
        let first = min(firstSlabBytes ?? budget, budget) / Self.alignment * Self.alignment
        if first > 0 { add(try DeviceSlab(device, bytes: first)) }
    }

    /// Allocates a region, which is freed when the returned value is released.
    ///
    /// - Throws: ``DeviceError/arenaFull(_:requested:free:largest:budget:)`` if the region does not fit the budget, or
    ///   ``DeviceError/outOfMemory(_:requested:free:)`` if the arena must grow and the device has less free memory.
    package func allocate(bytes: Int) throws(DeviceError) -> DeviceRegion {
        let size = Self.rounded(bytes)
        if let region = allocateRegion(size, bytes) { return region }
        return try growing.withLock { _ throws(DeviceError) in
            if let region = allocateRegion(size, bytes) { return region }
            try makeRoom(for: size)
            let space = budget - state.withLock { $0.held }
            return add(try DeviceSlab(device, bytes: min(max(slabBytes, size), space)), taking: size, bytes)!
        }
    }

    /// The current sizes and counts.
    package var usage: ArenaUsage {
        state.withLock { state in
            ArenaUsage(
                budget: budget, held: state.held, used: state.held - state.free.bytes, free: state.free.bytes,
                largest: state.free.largest, regions: state.regions, pieces: state.free.count, slabs: state.slabs.count)
        }
    }

    /// Returns idle slabs to the device.
    package func trim() {
        growing.withLock { _ in
            // The slabs are freed here, outside the lock: cuMemFree may wait for the device.
            _ = state.withLock { Self.removeIdleSlabs(of: &$0, atLeast: .max) }
        }
    }

    private func allocateRegion(_ size: Int, _ bytes: Int) -> DeviceRegion? {
        let start = state.withLock { state -> UInt64? in
            guard let start = state.free.allocate(size) else { return nil }
            state.regions += 1
            return start
        }
        return start.map { DeviceRegion(self, DeviceAddress(raw: $0), bytes: bytes) }
    }

    fileprivate func release(_ address: DeviceAddress, bytes: Int) {
        state.withLock { state in
            let slabs = state.slabs
            state.free.release(address.raw, bytes: Self.rounded(bytes)) { slabs[$0] != nil }
            state.regions -= 1
        }
    }

    /// Adds a slab and allocates a region from it under one lock, so that no other thread can use the space first.
    @discardableResult
    private func add(_ slab: DeviceSlab, taking size: Int = 0, _ bytes: Int = 0) -> DeviceRegion? {
        let start = state.withLock { state -> UInt64? in
            state.slabs[slab.address.raw] = slab
            state.held += slab.bytes
            state.free.release(slab.address.raw, bytes: slab.bytes) { _ in true }
            guard size > 0 else { return nil }
            state.regions += 1
            return state.free.allocate(size)
        }
        return start.map { DeviceRegion(self, DeviceAddress(raw: $0), bytes: bytes) }
    }

    /// Ensures that a slab of `size` bytes fits the budget, by freeing idle slabs if necessary.
    private func makeRoom(for size: Int) throws(DeviceError) {
        let device = device.name
        let (error, _) = state.withLock { state -> (DeviceError?, [DeviceSlab]) in
            let missing = size - (budget - state.held)
            guard missing > 0 else { return (nil, []) }
            if let idle = Self.removeIdleSlabs(of: &state, atLeast: missing) { return (nil, idle) }
            let space = budget - state.held
            return (
                .arenaFull(
                    device, requested: size, free: state.free.bytes + space, largest: max(state.free.largest, space),
                    budget: budget), []
            )
        }
        if let error { throw error }
    }

    /// Removes idle slabs, the smallest first, until they total `bytes`.
    ///
    /// - Returns: the removed slabs; nil, with nothing removed, if all idle slabs together are smaller. With `.max`,
    ///   all idle slabs.
    private static func removeIdleSlabs(of state: inout State, atLeast bytes: Int) -> [DeviceSlab]? {
        let idle = state.slabs.values.filter { state.free.bytes(at: $0.address.raw) == $0.bytes }
            .sorted { $0.bytes < $1.bytes }
        guard bytes == .max || idle.reduce(0, { $0 + $1.bytes }) >= bytes else { return nil }
        var taken: [DeviceSlab] = []
        var sum = 0
        for slab in idle where sum < bytes {
            state.slabs[slab.address.raw] = nil
            state.free.remove(slab.address.raw)
            state.held -= slab.bytes
            sum += slab.bytes
            taken.append(slab)
        }
        return taken
    }

    /// Zero bytes round up to one unit of `alignment`: an empty region has an address of its own too.
    private static func rounded(_ bytes: Int) -> Int {
        precondition(bytes >= 0, "\(bytes) bytes: a size must not be negative")
        return max(1, (bytes + alignment - 1) / alignment) * alignment
    }
}

/// Sizes (in bytes) and counts of an arena. `free` and `largest` count free bytes in the slabs held, not the remaining
/// budget.
package struct ArenaUsage: Equatable, Sendable {
    package var budget: Int
    package var held: Int
    package var used: Int
    package var free: Int
    /// The largest free block.
    package var largest: Int
    package var regions: Int
    /// Number of free blocks.
    package var pieces: Int
    package var slabs: Int
}

/// A region of device memory from an arena; freed when the value is released.
package final class DeviceRegion: Sendable {
    private let arena: DeviceArena
    package let address: DeviceAddress
    /// The requested size, before rounding.
    package let bytes: Int

    package var device: any Device { arena.device }

    fileprivate init(_ arena: DeviceArena, _ address: DeviceAddress, bytes: Int) {
        self.arena = arena
        self.address = address
        self.bytes = bytes
    }

    deinit { arena.release(address, bytes: bytes) }

    /// Copies the bytes back to the host, for checks. Blocks.
    package func read() throws(DeviceError) -> [UInt8] {
        try withExtendedLifetime(self) { () throws(DeviceError) in try device.read(address, bytes: bytes) }
    }
}
