import Synchronization
import TestSupport
import Testing

@testable import DeviceMemory

@Suite("The arena", .blocking)
struct ArenaTests {
    @Test(
        "regions do not overlap, are aligned and within a slab, the accounts are exact, and free neighbours are merged",
        arguments: Kind.allCases, [UInt64](1...4))
    func properties(_ kind: Kind, _ seed: UInt64) throws {
        let fixture = try DeviceFixture(kind)
        do {
            var random = SeededGenerator(state: seed)
            let budget = 4 << 20
            // Mostly regions that share slabs, of both kinds, or mostly regions with slabs of their own.
            let arena = DeviceArena(
                try fixture.open(), budget: budget,
                slabBytes: [64 << 10, 512 << 10, 8 << 20].randomElement(using: &random)!,
                graceMilliseconds: 3_600_000)
            // The model: the existing regions, by address.
            var model: [DeviceRegion] = []
            func size(_ bytes: Int) -> Int { max(512, (bytes + 511) / 512 * 512) }
            for _ in 0..<3000 {
                if Int.random(in: 0..<100, using: &random) < 55 || model.isEmpty {
                    let bytes = Int.random(in: 0...(1 << Int.random(in: 4...19, using: &random)), using: &random)
                    let before = arena.usage
                    do {
                        let region = try arena.allocate(bytes: bytes)
                        let place = model.firstIndex { $0.address.raw > region.address.raw } ?? model.count
                        #expect(region.bytes == bytes && region.address.raw % 512 == 0)
                        if place > 0 {
                            let left = model[place - 1]
                            #expect(left.address.raw + UInt64(size(left.bytes)) <= region.address.raw)
                        }
                        if place < model.count {
                            #expect(region.address.raw + UInt64(size(bytes)) <= model[place].address.raw)
                        }
                        model.insert(region, at: place)
                    } catch {
                        let room = budget - before.held
                        let largest = max(before.largest, room)
                        #expect(
                            error
                                == .arenaFull(
                                    arena.device.name, requested: size(bytes), free: before.free + room,
                                    largest: largest,
                                    budget: budget))
                        #expect(largest < size(bytes))
                    }
                } else {
                    model.remove(at: Int.random(in: 0..<model.count, using: &random))
                }
                let usage = arena.usage
                #expect(usage.used == model.reduce(0) { $0 + size($1.bytes) })
                #expect(usage.used + usage.free == usage.held && usage.held <= budget)
                #expect(usage.regions == model.count)
                #expect(usage.largest <= usage.free && (usage.free == 0) == (usage.pieces == 0))
            }
            model.shuffle(using: &random)
            while model.popLast() != nil {}
            let usage = arena.usage
            #expect(usage.used == 0 && usage.regions == 0 && usage.pieces == usage.slabs)
            arena.trim()
            #expect(arena.usage.held == 0 && arena.usage.slabs == 0)
        }
        fixture.check()
    }

    @Test("an arena allocates nothing before its first region, and uses its slabs again")
    func reuse() throws {
        let fixture = try DeviceFixture(.cuda)
        do {
            let arena = DeviceArena(
                try fixture.open(), budget: 8 << 20, slabBytes: 1 << 20, graceMilliseconds: 3_600_000)
            #expect(fixture.double!.calls("cuMemAlloc_v2") == 0)
            for _ in 0..<100 {
                // Two that share a slab, and two with slabs of their own.
                let regions = try [65536, 65536, 2 << 20, 3 << 20].map { try arena.allocate(bytes: $0) }
                keep(regions)
            }
            #expect(fixture.double!.calls("cuMemAlloc_v2") == 3)
            #expect(fixture.double!.calls("cuMemFree_v2") == 0)
            #expect(arena.usage.held == 6 << 20)
        }
        fixture.check()
    }

    @Test(
        "a slab without regions is returned to the device after the grace period, and others stay",
        arguments: Kind.allCases)
    func grace(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let arena = DeviceArena(try fixture.open(), budget: 8 << 20, slabBytes: 1 << 20, graceMilliseconds: 1)
            let kept = try arena.allocate(bytes: 512)
            var gone: DeviceRegion? = try arena.allocate(bytes: 2 << 20)
            keep(gone!)
            gone = nil
            try blockUntil { arena.usage.held == 1 << 20 }
            #expect(arena.usage.held == 1 << 20)
            keep(kept)
        }
        fixture.check()
    }

    @Test("an arena leaves the reserve of the device to others, and returns what it held when they need it")
    func reserve() throws {
        let fixture = try DeviceFixture(.cuda)
        fixture.double!.setDevices(1, bytes: 8 << 20)
        do {
            let device = try fixture.open()
            let arena = DeviceArena(
                device, budget: 8 << 20, reserve: 2 << 20, slabBytes: 1 << 20, graceMilliseconds: 3_600_000)
            let engine = try DeviceSlab(device, bytes: 3 << 20)
            let first = try arena.allocate(bytes: 2 << 20)
            #expect(throws: DeviceError.outOfMemory(.cuda(0), requested: 2 << 20, free: 1 << 20)) {
                try arena.allocate(bytes: 2 << 20)
            }
            var idle: DeviceRegion? = try arena.allocate(bytes: 1 << 20)
            keep(idle!)
            idle = nil
            // Only the idle slab makes space for it.
            let second = try arena.allocate(bytes: 600 << 10)
            #expect(arena.usage.held == (2 << 20) + (600 << 10))
            keep(engine, first, second)
        }
        fixture.check()
    }

    @Test("regions are aligned even where the driver's memory is not")
    func alignment() throws {
        let fixture = try DeviceFixture(.cuda)
        fixture.double!.shift(bytes: 256)
        do {
            let arena = DeviceArena(try fixture.open(), budget: 4096)
            let regions = try (0..<8).map { _ in try arena.allocate(bytes: 512) }
            #expect(regions.allSatisfy { $0.address.raw % 512 == 0 })
            // The last region is within the memory, too.
            #expect(try regions.map { try $0.read().count } == Array(repeating: 512, count: 8))
        }
        fixture.check()
    }

    @Test(
        "allocation is best fit, so the next region of the same size fills the gap of a released one",
        arguments: Kind.allCases)
    func bestFit(_ kind: Kind) throws {
        let arena = DeviceArena(try DeviceFixture(kind).open(), budget: 1 << 20)
        var regions = try [512, 8192, 512, 4096, 512, 16384, 512].map { try arena.allocate(bytes: $0) }
        let hole = regions[3].address
        for index in [5, 3, 1] { regions.remove(at: index) }
        #expect(try arena.allocate(bytes: 3800).address == hole)
        #expect(try arena.allocate(bytes: 4096).address == hole)
        keep(regions)
    }

    @Test("a region of no bytes has an address of its own", arguments: Kind.allCases)
    func empty(_ kind: Kind) throws {
        let arena = DeviceArena(try DeviceFixture(kind).open(), budget: 1024)
        let (one, other) = (try arena.allocate(bytes: 0), try arena.allocate(bytes: 0))
        #expect(one.address != other.address)
        #expect(throws: DeviceError.arenaFull(arena.device.name, requested: 512, free: 0, largest: 0, budget: 1024)) {
            try arena.allocate(bytes: 0)
        }
        keep(one, other)
    }

    @Test(
        "a function is called once, at the release it was given for, when that memory is free", arguments: Kind.allCases
    )
    func notification(_ kind: Kind) throws {
        let arena = DeviceArena(try DeviceFixture(kind).open(), budget: 4096)
        var regions = try (0..<5).map { _ in try arena.allocate(bytes: 512) }
        let calls = Mutex<[Int]>([])
        arena.notify { calls.withLock { $0.append(-1) } }
        arena.notify(afterReleases: 1) { [weak arena] in
            let used = arena?.usage.used ?? 0
            calls.withLock { $0.append(used) }
        }
        regions.removeLast()
        #expect(calls.withLock { $0 } == [])
        regions.removeLast()
        #expect(calls.withLock { $0 } == [3 * 512])
        regions.removeLast()
        #expect(calls.withLock { $0 } == [3 * 512])
        keep(regions)
    }

    @Test("the arena grows by slabs up to its budget", arguments: Kind.allCases)
    func growth(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let arena = DeviceArena(try fixture.open(), budget: 300_000, slabBytes: 128 << 10)
            #expect(arena.usage.held == 0)
            var regions = [try arena.allocate(bytes: 1)]
            #expect(arena.usage.held == 128 << 10)
            // Larger than a slab: it uses the rest of the budget.
            regions.append(try arena.allocate(bytes: 160_000))
            #expect(arena.usage.slabs == 2)
            #expect(arena.usage.held == 131_072 + 160_256)
            let rest = arena.budget - arena.usage.held
            let error = #expect(throws: DeviceError.self) { try arena.allocate(bytes: 140_000) }
            #expect(
                error
                    == .arenaFull(
                        arena.device.name, requested: 140_288, free: 131_072 - 512 + rest, largest: 131_072 - 512,
                        budget: arena.budget))
            #expect("\(error!)".contains("no space for 140288 bytes"))
        }
        fixture.check()
    }

    @Test("idle slabs are freed for one that is large enough", arguments: Kind.allCases)
    func exchange(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let arena = DeviceArena(try fixture.open(), budget: 4 << 20, slabBytes: 1 << 20)
            var small = try (0..<4).map { _ in try arena.allocate(bytes: 1 << 20) }
            small.removeLast(2)
            #expect(throws: DeviceError.self) { try arena.allocate(bytes: 3 << 20) }
            #expect(arena.usage.held == 4 << 20)
            let large = try arena.allocate(bytes: 2 << 20)
            #expect(arena.usage.slabs == 3 && arena.usage.free == 0)
            keep(small, large)
        }
        fixture.check()
    }

    @Test(
        "slabs are smaller if the device has less free memory, down to what a region needs; below that it is an error")
    func deviceFull() throws {
        let fixture = try DeviceFixture(.cuda)
        fixture.double!.setDevices(1, bytes: 3 << 20)
        do {
            let arena = DeviceArena(try fixture.open(), budget: 8 << 20, slabBytes: 2 << 20)
            let first = try arena.allocate(bytes: 2 << 20)
            let small = try arena.allocate(bytes: 4096)
            #expect(arena.usage.held == 3 << 20 && arena.usage.slabs == 2)
            #expect(throws: DeviceError.outOfMemory(.cuda(0), requested: 2 << 20, free: 0)) {
                try arena.allocate(bytes: 2 << 20)
            }
            // In a gap of the shared slab, because the device has no other.
            let large = try arena.allocate(bytes: 512 << 10)
            #expect(arena.usage.held == 3 << 20 && arena.usage.regions == 3)
            keep(first, small, large)
        }
        fixture.check()
    }

    @Test("many threads at once get regions of their own, and the accounts are exact", arguments: Kind.allCases)
    func threads(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let arena = DeviceArena(try fixture.open(), budget: 4 << 20, slabBytes: 256 << 10)
            let taken = Mutex<Set<UInt64>>([])
            try onThreads(8) { index in
                var random = SeededGenerator(state: UInt64(index))
                for _ in 0..<200 {
                    let sizes = (0..<4).map { _ in Int.random(in: 0...32768, using: &random) }
                    let regions = try sizes.map { try arena.allocate(bytes: $0) }
                    for region in regions { #expect(taken.withLock { $0.insert(region.address.raw).inserted }) }
                    for region in regions { taken.withLock { _ = $0.remove(region.address.raw) } }
                }
            }
            let usage = arena.usage
            #expect(usage.used == 0 && usage.regions == 0 && usage.pieces == usage.slabs)
        }
        fixture.check()
    }
}
