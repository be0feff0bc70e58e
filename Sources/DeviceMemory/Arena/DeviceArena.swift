import Synchronization

/// Device memory under a budget: taken from the device in slabs, and handed out in regions without asking the device.
///
///     let arena = try DeviceArena(device, budget: 60 << 30)
///     let region = try arena.allocate(bytes: shard.bytes)
///
/// The first slab, by default the whole budget, is taken at the start, so that a load never waits for `cuMemAlloc`.
/// An arena that begins smaller grows by slabs, one at a time, up to its budget; a slab that nobody uses is exchanged
/// for a larger one if an allocation can't be had otherwise.
///
/// * Regions do not overlap, and begin at multiples of `alignment`; their sizes are rounded up to it.
/// * `used + free = held ≤ budget` at every moment.
/// * Free neighbours in a slab are one piece: an arena that is not in use has one free piece a slab.
package final class DeviceArena: Sendable {
    /// Bytes: the slabs'.
    package static let alignment = DeviceSlab.alignment

    package let device: any Device
    /// The most that is taken from the device, in bytes.
    package let budget: Int

    private struct State {
        var slabs: [UInt64: DeviceSlab] = [:]
        var free = FreeBlocks()
        var held = 0
        var regions = 0
    }

    private let slabBytes: Int
    private let state = Mutex(State())
    /// Held by the one that asks the device for a slab: the others wait and find it.
    private let growing = Mutex(())

    /// - Parameters:
    ///   - budget: in bytes, rounded down to `alignment`.
    ///   - upFront: what is taken now, in bytes, rounded like the budget; nil for all of it.
    ///   - slabBytes: how much is taken at a time later.
    /// - Throws: ``DeviceError/outOfMemory(_:asked:free:)`` if the device has not that much.
    package init(_ device: any Device, budget: Int, upFront: Int? = nil, slabBytes: Int = 1 << 30) throws(DeviceError) {
        self.device = device
        self.budget = budget / Self.alignment * Self.alignment
        self.slabBytes = Self.rounded(slabBytes)
        let first = min(upFront ?? budget, budget) / Self.alignment * Self.alignment
        if first > 0 { add(try DeviceSlab(device, bytes: first)) }
    }

    /// - Throws: ``DeviceError/arenaFull(_:asked:free:largest:budget:)``, or, where the arena had to grow and the
    ///   device has less than the budget says, ``DeviceError/outOfMemory(_:asked:free:)``.
    package func allocate(bytes: Int) throws(DeviceError) -> DeviceRegion {
        let size = Self.rounded(bytes)
        if let region = take(size, bytes) { return region }
        return try growing.withLock { _ throws(DeviceError) in
            if let region = take(size, bytes) { return region }
            try makeRoom(for: size)
            let room = budget - state.withLock { $0.held }
            return add(try DeviceSlab(device, bytes: min(max(slabBytes, size), room)), taking: size, bytes)!
        }
    }

    package var usage: ArenaUsage {
        state.withLock { state in
            ArenaUsage(
                budget: budget, held: state.held, used: state.held - state.free.bytes, free: state.free.bytes,
                largest: state.free.largest, regions: state.regions, pieces: state.free.count, slabs: state.slabs.count)
        }
    }

    /// Gives the slabs that nobody uses back to the device.
    package func trim() {
        growing.withLock { _ in
            // The slabs go here, outside the lock: cuMemFree may wait for the device.
            _ = state.withLock { Self.takeOutIdleSlabs(of: &$0, atLeast: .max) }
        }
    }

    private func take(_ size: Int, _ bytes: Int) -> DeviceRegion? {
        let start = state.withLock { state -> UInt64? in
            guard let start = state.free.take(size) else { return nil }
            state.regions += 1
            return start
        }
        return start.map { DeviceRegion(self, DeviceAddress(raw: $0), bytes: bytes) }
    }

    fileprivate func giveBack(_ address: DeviceAddress, bytes: Int) {
        state.withLock { state in
            let slabs = state.slabs
            state.free.give(address.raw, bytes: Self.rounded(bytes)) { slabs[$0] != nil }
            state.regions -= 1
        }
    }

    /// Adds a slab and, before anybody else can, takes a region from it.
    @discardableResult
    private func add(_ slab: DeviceSlab, taking size: Int = 0, _ bytes: Int = 0) -> DeviceRegion? {
        let start = state.withLock { state -> UInt64? in
            state.slabs[slab.address.raw] = slab
            state.held += slab.bytes
            state.free.give(slab.address.raw, bytes: slab.bytes) { _ in true }
            guard size > 0 else { return nil }
            state.regions += 1
            return state.free.take(size)
        }
        return start.map { DeviceRegion(self, DeviceAddress(raw: $0), bytes: bytes) }
    }

    /// Sees to it that a slab of `size` bytes is within the budget, if need be by giving up idle ones.
    private func makeRoom(for size: Int) throws(DeviceError) {
        let device = device.name
        let (error, _) = state.withLock { state -> (DeviceError?, [DeviceSlab]) in
            let missing = size - (budget - state.held)
            guard missing > 0 else { return (nil, []) }
            if let idle = Self.takeOutIdleSlabs(of: &state, atLeast: missing) { return (nil, idle) }
            let room = budget - state.held
            return (
                .arenaFull(
                    device, asked: size, free: state.free.bytes + room, largest: max(state.free.largest, room),
                    budget: budget), []
            )
        }
        if let error { throw error }
    }

    /// Takes out idle slabs, the smallest first, until they make `bytes`.
    ///
    /// - Returns: nil, and nothing taken out, if all of them together are less; with `.max`, all.
    private static func takeOutIdleSlabs(of state: inout State, atLeast bytes: Int) -> [DeviceSlab]? {
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

    /// At least one piece: a region of no bytes has an address of its own too.
    private static func rounded(_ bytes: Int) -> Int {
        precondition(bytes >= 0, "a size of \(bytes) bytes")
        return max(1, (bytes + alignment - 1) / alignment) * alignment
    }
}

/// What an arena holds. Sizes in bytes; `free` and `largest` count what is free in the slabs held, not what the budget
/// still allows to take.
package struct ArenaUsage: Equatable, Sendable {
    package var budget: Int
    package var held: Int
    package var used: Int
    package var free: Int
    /// The largest free piece.
    package var largest: Int
    package var regions: Int
    /// Free pieces.
    package var pieces: Int
    package var slabs: Int
}

/// Device memory from an arena, which goes back to it with the value.
package final class DeviceRegion: Sendable {
    private let arena: DeviceArena
    package let address: DeviceAddress
    /// As asked for.
    package let bytes: Int

    package var device: any Device { arena.device }

    fileprivate init(_ arena: DeviceArena, _ address: DeviceAddress, bytes: Int) {
        self.arena = arena
        self.address = address
        self.bytes = bytes
    }

    deinit { arena.giveBack(address, bytes: bytes) }

    /// Reads the bytes back, for checks. Blocks.
    package func read() throws(DeviceError) -> [UInt8] {
        try withExtendedLifetime(self) { () throws(DeviceError) in try device.read(address, bytes: bytes) }
    }
}
