import Dispatch
import Synchronization

/// Device memory under a budget: allocated from the device in slabs when it is needed, divided into regions without a
/// device call, and returned when it is not used any more.
///
///     let arena = DeviceArena(device, budget: 60 << 30)
///     let region = try arena.allocate(bytes: shard.bytes)
///
/// Small regions share slabs of `slabBytes`. A region of at least an eighth of that has a slab of its own, of exactly its
/// size, so that shared slabs have little space that no region fits into. If the rest of the budget, or what the device
/// has free, is smaller, the slab is.
///
/// A slab without regions is idle. The next region of its size uses it; it is returned to the device after a grace
/// period, by ``trim()``, and if an allocation does not fit otherwise.
///
/// * Regions do not overlap. They begin at multiples of `alignment`, and their sizes are rounded up to it.
/// * `used + free = held ≤ budget` always holds.
/// * Adjacent free blocks of a slab are merged: an idle arena has one free block per slab.
package final class DeviceArena: Sendable {
    /// In bytes; the same as ``DeviceSlab/alignment``.
    package static let alignment = DeviceSlab.alignment
    /// The size of a shared slab, in bytes.
    package static let slabBytes = 256 << 20
    /// The time for which an idle slab is kept, in milliseconds: the next load often needs it.
    package static let graceMilliseconds = 5000

    package let device: any Device
    /// The upper limit of the memory allocated from the device, in bytes.
    package let budget: Int
    /// What the arena leaves free on the device for others, in bytes.
    private let reserve: Int

    private struct Slab {
        let memory: DeviceSlab
        /// Whether it is for one region at a time.
        let isWhole: Bool
        /// Nil while it has regions.
        var idleSince: ContinuousClock.Instant?
    }

    private struct State {
        var slabs: [UInt64: Slab] = [:]
        /// The free blocks of the shared slabs.
        var shared = FreeBlocks()
        /// The idle slabs for one region.
        var whole = FreeBlocks()
        var held = 0
        var regions = 0
        var isTrimScheduled = false
        var notification = ReleaseNotification()

        var free: Int { shared.bytes + whole.bytes }
        var largest: Int { max(shared.largest, whole.largest) }
    }

    private let slabBytes: Int
    private let graceMilliseconds: Int
    private let state = Mutex(State())
    /// Held while a slab is allocated or returned: other allocations wait, then use the new slab.
    private let growing = Mutex(())

    /// Creates an arena. Nothing is allocated before the first region.
    ///
    /// - Parameters:
    ///   - budget: in bytes, rounded down to `alignment`.
    ///   - reserve: what the arena leaves free on the device when it grows, in bytes.
    ///   - slabBytes: the size of a shared slab in bytes.
    ///   - graceMilliseconds: the time for which an idle slab is kept.
    package init(
        _ device: any Device, budget: Int, reserve: Int = 0, slabBytes: Int = DeviceArena.slabBytes,
        graceMilliseconds: Int = DeviceArena.graceMilliseconds
    ) {
        self.device = device
        self.budget = budget / Self.alignment * Self.alignment
        self.reserve = reserve
        self.slabBytes = Self.rounded(slabBytes)
        self.graceMilliseconds = graceMilliseconds
    }

    /// Allocates a region, which is freed when the returned value is released.
    ///
    /// - Throws: ``DeviceError/arenaFull(_:requested:free:largest:budget:)`` if the region does not fit the budget, or
    ///   ``DeviceError/outOfMemory(_:requested:free:)`` if the arena must grow and the device has less free memory.
    package func allocate(bytes: Int) throws(DeviceError) -> DeviceRegion {
        let size = Self.rounded(bytes)
        if let region = allocateFree(size, bytes) { return region }
        return try growing.withLock { _ throws(DeviceError) in
            if let region = allocateFree(size, bytes) { return region }
            return try grow(size, bytes)
        }
    }

    /// The current sizes and counts.
    package var usage: ArenaUsage {
        state.withLock { state in
            ArenaUsage(
                budget: budget, held: state.held, used: state.held - state.free, free: state.free,
                largest: state.largest, regions: state.regions, pieces: state.shared.count + state.whole.count,
                slabs: state.slabs.count)
        }
    }

    /// The bytes that can be allocated now: what is free in the arena, and what it may add to that; nil if only the budget
    /// limits it.
    package var available: Int? {
        // An error is reported by the allocation.
        guard reserve > 0, let free = try? device.memory().free else { return nil }
        return max(free - reserve, 0) + state.withLock { $0.free }
    }

    /// Returns idle slabs to the device.
    ///
    /// - Returns: their size, in bytes.
    @discardableResult
    package func trim() -> Int { growing.withLock { _ in returnIdleSlabs() } }

    /// Whether a region has a slab of its own.
    private func isWhole(_ size: Int) -> Bool { size >= slabBytes / 8 }

    /// Allocates a region from the slabs held.
    ///
    /// - Parameter inGaps: whether a region that should have a slab of its own may be in a shared one.
    private func allocateFree(_ size: Int, _ bytes: Int, inGaps: Bool = false) -> DeviceRegion? {
        let start = state.withLock { state -> UInt64? in
            var found: UInt64?
            if isWhole(size) {
                found = state.whole.allocateWhole(size)
                if found == nil, inGaps { found = state.shared.allocate(size) }
            } else {
                found = state.shared.allocate(size)
            }
            guard let start = found else { return nil }
            // An idle slab is one block, so a region in it begins where the slab does.
            state.slabs[start]?.idleSince = nil
            state.regions += 1
            return start
        }
        return start.map { DeviceRegion(self, DeviceAddress(raw: $0), bytes: bytes) }
    }

    /// Allocates a region in a new slab; called with `growing` held.
    private func grow(_ size: Int, _ bytes: Int) throws(DeviceError) -> DeviceRegion {
        if budget - held < size {
            if let region = allocateFree(size, bytes, inGaps: true) { return region }
            try makeRoom(for: size)
        }
        let memory: DeviceSlab
        do throws(DeviceError) {
            memory = try makeSlab(isWhole(size) ? size : min(max(slabBytes, size), budget - held), atLeast: size)
        } catch {
            guard case .outOfMemory = error, let region = allocateFree(size, bytes, inGaps: true) else { throw error }
            return region
        }
        // Under one lock, so that no other thread can use the space first.
        let start = state.withLock { state -> UInt64 in
            let start = memory.address.raw
            state.slabs[start] = Slab(memory: memory, isWhole: isWhole(size), idleSince: nil)
            state.held += memory.bytes
            state.regions += 1
            if !isWhole(size), memory.bytes > size {
                state.shared.release(start + UInt64(size), bytes: memory.bytes - size) { _ in true }
            }
            return start
        }
        return DeviceRegion(self, DeviceAddress(raw: start), bytes: bytes)
    }

    private var held: Int { state.withLock { $0.held } }

    /// Allocates a slab of `wanted` bytes. If the device has less free memory, idle slabs are returned to it, and then the
    /// slab is smaller.
    private func makeSlab(_ wanted: Int, atLeast least: Int) throws(DeviceError) -> DeviceSlab {
        var wanted = wanted
        while true {
            let failure: DeviceError
            do throws(DeviceError) {
                return try makeSlab(wanted)
            } catch {
                failure = error
            }
            guard case .outOfMemory = failure else { throw failure }
            if returnIdleSlabs() > 0 { continue }
            guard wanted > least else { throw failure }
            wanted = max(wanted / 2 / Self.alignment * Self.alignment, least)
        }
    }

    private func makeSlab(_ bytes: Int) throws(DeviceError) -> DeviceSlab {
        if reserve > 0 {
            let free = max(try device.memory().free - reserve, 0)
            guard bytes <= free else { throw .outOfMemory(device.name, requested: bytes, free: free) }
        }
        return try DeviceSlab(device, bytes: bytes)
    }

    /// Ensures that a slab of `size` bytes fits the budget, by returning idle slabs if necessary.
    private func makeRoom(for size: Int) throws(DeviceError) {
        let device = device.name
        let (error, _) = state.withLock { state -> (DeviceError?, [DeviceSlab]) in
            let missing = size - (budget - state.held)
            guard missing > 0 else { return (nil, []) }
            let idle = Self.idleSlabs(state).sorted { $0.bytes < $1.bytes }
            if idle.reduce(0, { $0 + $1.bytes }) >= missing {
                var (chosen, sum) = ([DeviceSlab](), 0)
                for slab in idle where sum < missing {
                    chosen.append(slab)
                    sum += slab.bytes
                }
                Self.remove(chosen, from: &state)
                return (nil, chosen)
            }
            let space = budget - state.held
            return (
                .arenaFull(
                    device, requested: size, free: state.free + space, largest: max(state.largest, space),
                    budget: budget), []
            )
        }
        if let error { throw error }
    }

    /// Returns idle slabs to the device; called with `growing` held.
    ///
    /// - Parameter moment: only those that are idle since then.
    /// - Returns: their size, in bytes.
    private func returnIdleSlabs(idleSince moment: ContinuousClock.Instant? = nil) -> Int {
        // The slabs are freed here, outside the lock: cuMemFree may wait for the device.
        let slabs = state.withLock { state -> [DeviceSlab] in
            let idle = Self.idleSlabs(state, since: moment)
            Self.remove(idle, from: &state)
            return idle
        }
        return slabs.reduce(0) { $0 + $1.bytes }
    }

    private static func idleSlabs(_ state: State, since moment: ContinuousClock.Instant? = nil) -> [DeviceSlab] {
        state.slabs.values.filter { slab in
            guard let idleSince = slab.idleSince else { return false }
            return moment.map { idleSince <= $0 } ?? true
        }.map(\.memory)
    }

    private static func remove(_ slabs: [DeviceSlab], from state: inout State) {
        for slab in slabs {
            let start = slab.address.raw
            guard let known = state.slabs.removeValue(forKey: start) else { continue }
            if known.isWhole { state.whole.remove(start) } else { state.shared.remove(start) }
            state.held -= slab.bytes
        }
    }

    /// Calls `body` once: at a later release of a region, after its memory is free, on the thread that releases it. It
    /// must return quickly. A `body` of an earlier call that was not called yet is not called any more.
    ///
    /// - Parameter skipped: the number of releases before that one.
    package func notify(afterReleases skipped: Int = 0, _ body: @escaping @Sendable () -> Void) {
        // The former value is released outside the lock.
        _ = state.withLock { state in
            defer { state.notification = ReleaseNotification(skipped: skipped, body) }
            return state.notification
        }
    }

    func release(_ address: DeviceAddress, bytes: Int) {
        let (mustSchedule, body) = state.withLock { state in
            (free(address, bytes: bytes, &state), state.notification.countRelease())
        }
        if mustSchedule { scheduleTrim() }
        body?()
    }

    /// - Returns: whether a trim must be scheduled, because a slab has become idle.
    private func free(_ address: DeviceAddress, bytes: Int, _ state: inout State) -> Bool {
        state.regions -= 1
        let start: UInt64
        if let slab = state.slabs[address.raw], slab.isWhole {
            start = address.raw
            state.whole.release(start, bytes: slab.memory.bytes) { _ in true }
        } else {
            let slabs = state.slabs
            start = state.shared.release(address.raw, bytes: Self.rounded(bytes)) { slabs[$0] != nil }
            guard let slab = slabs[start], state.shared.bytes(at: start) == slab.memory.bytes else { return false }
        }
        state.slabs[start]?.idleSince = ContinuousClock.now
        defer { state.isTrimScheduled = true }
        return !state.isTrimScheduled
    }

    private func scheduleTrim() {
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(graceMilliseconds)) { [weak self] in
            self?.trimAfterGrace()
        }
    }

    /// Returns the slabs that were idle for the grace period, and waits for the others.
    private func trimAfterGrace() {
        growing.withLock { _ in
            _ = returnIdleSlabs(idleSince: ContinuousClock.now - Duration.milliseconds(graceMilliseconds))
        }
        let isLeft = state.withLock { state -> Bool in
            state.isTrimScheduled = state.slabs.values.contains { $0.idleSince != nil }
            return state.isTrimScheduled
        }
        if isLeft { scheduleTrim() }
    }

    /// Zero bytes round up to one unit of `alignment`: an empty region has an address of its own too.
    private static func rounded(_ bytes: Int) -> Int {
        precondition(bytes >= 0, "\(bytes) bytes: a size must not be negative")
        return max(1, (bytes + alignment - 1) / alignment) * alignment
    }
}
