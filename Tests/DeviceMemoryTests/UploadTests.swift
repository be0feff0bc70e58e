import Dispatch
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import DeviceMemory

@Suite("Uploads", .blocking)
struct UploadTests {
    private struct Refused: Error {}

    private func setUp(_ fixture: DeviceFixture, buffers: Int = 3, fillers: Int = 1, bufferBytes: Int = 4096) throws
        -> (
            DeviceArena, Uploader
        )
    {
        let device = try fixture.open()
        return (
            DeviceArena(device, budget: 4 << 20),
            try Uploader(device, buffers: buffers, bufferBytes: bufferBytes, fillers: fillers)
        )
    }

    @Test("any number of bytes arrives as the source gave it", arguments: Kind.allCases)
    func contents(_ kind: Kind) async throws {
        let fixture = try DeviceFixture(kind)
        do {
            let (arena, uploader) = try setUp(fixture, fillers: 2)
            for bytes in [0, 1, 511, 4095, 4096, 4097, 3 * 4096, 100_001] {
                let region = try arena.allocate(bytes: bytes)
                try await uploader.upload(.pattern(bytes), bytes: bytes, to: region)
                if bytes > 0 {
                    #expect(try region.read() == pattern(bytes, bytes: bytes))
                }
            }
        }
        fixture.check()
    }

    @Test("many threads' uploads at once arrive whole", arguments: Kind.allCases)
    func concurrent(_ kind: Kind) async throws {
        let fixture = try DeviceFixture(kind)
        fixture.double?.delay(microseconds: 20)
        do {
            let (arena, uploader) = try setUp(fixture, buffers: 4, fillers: 3)
            try await withThrowingTaskGroup { group in
                for task in 0..<8 {
                    group.addTask {
                        var random = SeededGenerator(state: UInt64(task))
                        for round in 0..<10 {
                            let bytes = Int.random(in: 1...40_000, using: &random)
                            let seed = task * 100 + round
                            let region = try arena.allocate(bytes: bytes)
                            try await uploader.upload(.pattern(seed), bytes: bytes, to: region)
                            let found = try region.read()
                            #expect(found == pattern(seed, bytes: bytes))
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(arena.usage.regions == 0)
        }
        fixture.check()
    }

    @Test("the next buffers are filled while the copy of the first is pending", arguments: Kind.allCases)
    func overlap(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let (arena, uploader) = try setUp(fixture, buffers: 3)
            let region = try arena.allocate(bytes: 5 * 4096)
            let filled = DispatchSemaphore(value: 0)
            fixture.hold()
            let (_, outcome) = try uploader.start(
                .filling { buffer, offset in
                    buffer.copyBytes(from: (0..<buffer.count).map { pattern(1, offset + $0) })
                    filled.signal()
                }, to: region)
            for _ in 0..<3 { filled.wait() }
            #expect(fixture.copiesBegun == 0)
            fixture.release()
            try outcome.get()
            #expect(try region.read() == pattern(1, bytes: region.bytes))
        }
        fixture.check()
    }

    @Test("a buffer is filled again only after its copy has run: the source slows to the bus", arguments: Kind.allCases)
    func backPressure(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let buffers = 2
            let (arena, uploader) = try setUp(fixture, buffers: buffers)
            let region = try arena.allocate(bytes: 12 * 4096)
            let filled = DispatchSemaphore(value: 0)
            let early = Mutex<[Int]>([])
            fixture.hold()
            let (_, outcome) = try uploader.start(
                .filling { _, offset in
                    let piece = offset / 4096
                    if fixture.copiesBegun < piece - buffers + 1 { early.withLock { $0.append(piece) } }
                    filled.signal()
                }, to: region)
            for _ in 0..<buffers { filled.wait() }
            fixture.release()
            try outcome.get()
            #expect(early.withLock { $0 } == [])
        }
        fixture.check()
    }

    @Test("copies run in the order of their pieces, and each buffer's event is recorded right behind its copy")
    func order() throws {
        let fixture = try DeviceFixture(.cuda)
        do {
            let (arena, uploader) = try setUp(fixture)
            let region = try arena.allocate(bytes: 4 * 4096)
            let double = fixture.double!
            let (_, outcome) = try uploader.start(
                .filling { _, offset in double.note("fill \(offset / 4096)") }, to: region)
            try outcome.get()
            let log = double.log.filter { $0.hasPrefix("fill") || $0.hasPrefix("cuMemcpy") || $0 == "cuEventRecord" }
            #expect(
                log == (0..<4).flatMap { ["fill \($0)", "cuMemcpyHtoDAsync_v2 \($0 + 1)", "cuEventRecord"] }
                    + ["cuEventRecord"])
            #expect(double.log.filter { $0.hasPrefix("copied") } == (1...4).map { "copied \($0)" })
        }
        fixture.check()
    }

    @Test("a stream that waits for an upload's event may use the bytes before the host knows", arguments: Kind.allCases)
    func queued(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let (arena, uploader) = try setUp(fixture, buffers: 3)
            let region = try arena.allocate(bytes: 2 * 4096)
            let engine = try DeviceStream(arena.device)
            let back = try PinnedMemory(arena.device, bytes: region.bytes)
            let outcome = Outcome()
            let queued = DispatchSemaphore(value: 0)
            fixture.hold()
            _ = try uploader.start(.pattern(3), bytes: region.bytes, to: region) { event in
                outcome.set(
                    Result {
                        #expect(try !event.isComplete)
                        try engine.wait(for: event)
                        try engine.copy(from: region.address, to: back.bytes)
                    })
                queued.signal()
            } completion: { _ in
                queued.signal()
            }
            queued.wait()
            fixture.release()
            queued.wait()
            try outcome.get()
            try engine.synchronize()
            #expect(Array(back.bytes) == pattern(3, bytes: region.bytes))
            keep(region, back)
        }
        fixture.check()
    }

    @Test("a source that fails ends its upload with its own error, after its copies have run", arguments: Kind.allCases)
    func sourceFails(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let (arena, uploader) = try setUp(fixture, fillers: 2)
            for bad in 0..<5 {
                var region: DeviceRegion? = try arena.allocate(bytes: 5 * 4096)
                let (_, outcome) = try uploader.start(
                    .filling { _, offset in if offset == bad * 4096 { throw Refused() } }, to: region!)
                region = nil
                #expect(throws: Refused.self) { try outcome.get() }
                #expect(arena.usage.regions == 0)
            }
            let region = try arena.allocate(bytes: 5 * 4096)
            try uploader.start(.pattern(2), to: region).1.get()
            #expect(try region.read() == pattern(2, bytes: region.bytes))
        }
        fixture.check()
    }

    @Test("an upload reports its failure only when none of its copies can still write", arguments: Kind.allCases)
    func failsLate(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let (arena, uploader) = try setUp(fixture)
            let region = try arena.allocate(bytes: 3 * 4096)
            let (failing, done) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            fixture.hold()
            _ = try uploader.start(
                .filling { _, offset in
                    guard offset == 2 * 4096 else { return }
                    failing.signal()
                    throw Refused()
                }, bytes: region.bytes, to: region
            ) { _ in
                #expect(fixture.copiesBegun == 2)
                done.signal()
            }
            failing.wait()
            usleep(20_000)  // Time to be wrong.
            fixture.release()
            done.wait()
            keep(region)
        }
        fixture.check()
    }

    @Test("an upload whose wait fails reports it only when none of its copies can still write")
    func waitingFails() throws {
        let fixture = try DeviceFixture(.cuda)
        do {
            let (arena, uploader) = try setUp(fixture)
            let region = try arena.allocate(bytes: 4096)
            let (queued, done) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            fixture.hold()
            _ = try uploader.start(.pattern(1), bytes: region.bytes, to: region) { _ in
                // The next is the wait for the event.
                fixture.double!.fail("cuCtxPushCurrent_v2")
                queued.signal()
            } completion: { result in
                #expect(throws: DeviceError.self) { try result.get() }
                #expect(fixture.copiesBegun == 1)
                done.signal()
            }
            queued.wait()
            usleep(20_000)
            fixture.release()
            done.wait()
            keep(region)
        }
        fixture.check()
    }

    @Test("a cancelled upload stops, and gives its region back after its copies have run", arguments: Kind.allCases)
    func cancelled(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let (arena, uploader) = try setUp(fixture, buffers: 2)
            var region: DeviceRegion? = try arena.allocate(bytes: 100 * 4096)
            let fills = Mutex(0)
            let filled = DispatchSemaphore(value: 0)
            fixture.hold()
            let (upload, outcome) = try uploader.start(
                .filling { _, _ in
                    fills.withLock { $0 += 1 }
                    filled.signal()
                }, to: region!)
            region = nil
            for _ in 0..<2 { filled.wait() }
            upload.cancel()
            #expect(arena.usage.regions == 1, "copies are pending")
            fixture.release()
            #expect(throws: CancellationError.self) { try outcome.get() }
            #expect(arena.usage.regions == 0)
            #expect(fills.withLock { $0 } <= 3)
            upload.cancel()
        }
        fixture.check()
    }

    @Test("an upload that is cancelled before its turn ends without waiting for it", arguments: Kind.allCases)
    func cancelledInLine(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let (arena, uploader) = try setUp(fixture)
            let (slow, late) = (try arena.allocate(bytes: 4096), try arena.allocate(bytes: 4096))
            let proceed = DispatchSemaphore(value: 0)
            let (_, first) = try uploader.start(.filling { _, _ in proceed.wait() }, to: slow)
            let (upload, second) = try uploader.start(.filling { _, _ in Issue.record("filled") }, to: late)
            upload.cancel()
            #expect(throws: CancellationError.self) { try second.get() }
            proceed.signal()
            try first.get()
        }
        fixture.check()
    }

    @Test("a cancelled task's upload is cancelled", arguments: Kind.allCases)
    func cancelledTask(_ kind: Kind) async throws {
        let fixture = try DeviceFixture(kind)
        do {
            let (arena, uploader) = try setUp(fixture)
            for early in [true, false] {
                let (begun, continuation) = AsyncStream.makeStream(of: Void.self)
                let proceed = DispatchSemaphore(value: 0)
                let task = Task {
                    if early { withUnsafeCurrentTask { $0!.cancel() } }
                    let region = try arena.allocate(bytes: 100 * 4096)
                    try await uploader.upload(
                        .filling { _, _ in
                            continuation.yield()
                            if !early { proceed.wait() }
                        }, bytes: region.bytes, to: region)
                }
                if !early { for await _ in begun { break } }
                task.cancel()
                proceed.signal()
                await #expect(throws: CancellationError.self) { try await task.value }
            }
            #expect(arena.usage.regions == 0)
        }
        fixture.check()
    }

    @Test("mapped pages are copied without staging", arguments: Kind.allCases)
    func registered(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let (arena, uploader) = try setUp(fixture)
            let pages = Pages(3 * 4096)
            let source = UploadSource.mapped(pages.bytes(from: 100), owner: pages, on: arena.device)
            guard case .registered = source else {
                Issue.record("not registered")
                return
            }
            let region = try arena.allocate(bytes: 3 * 4096 - 100)
            for _ in 0..<2 { try uploader.start(source, to: region).1.get() }
            let found = try region.read()
            #expect(found == Array(pages.bytes(from: 100)))
            if let double = fixture.double {
                #expect(double.calls("cuMemcpyHtoDAsync_v2") == 2)
                #expect(double.calls("cuMemHostRegister_v2") == 1)
            }
        }
        fixture.check()
    }

    @Test("mapped pages that the driver will not pin are staged")
    func refused() throws {
        let fixture = try DeviceFixture(.cuda)
        do {
            let (arena, uploader) = try setUp(fixture)
            let pages = Pages(3 * 4096)
            fixture.double!.fail("cuMemHostRegister_v2", code: 801)
            let source = UploadSource.mapped(pages.bytes(), owner: pages, on: arena.device)
            let region = try arena.allocate(bytes: 3 * 4096)
            try uploader.start(source, to: region).1.get()
            #expect(try region.read() == Array(pages.bytes()))
            #expect(fixture.double!.calls("cuMemcpyHtoDAsync_v2") == 3)
        }
        fixture.check()
    }

    @Test("several devices hold their own bytes")
    func twoDevices() throws {
        let fixture = try DeviceFixture(.cuda)
        do {
            let uploads = try (0..<2).map { ordinal in
                let device = try fixture.double!.open(ordinal)
                let region = try DeviceArena(device, budget: 1 << 20).allocate(bytes: 100_000)
                let uploader = try Uploader(device, buffers: 2, bufferBytes: 8192, fillers: 1)
                return (ordinal, region, try uploader.start(.pattern(ordinal), to: region).1)
            }
            for (ordinal, region, outcome) in uploads {
                try outcome.get()
                #expect(try region.read() == pattern(ordinal, bytes: region.bytes))
            }
        }
        fixture.check()
    }

    @Test("an uploader that is released completes the uploads it has begun", arguments: Kind.allCases)
    func releasedUploader(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            var (arena, uploader): (DeviceArena, Uploader?) = try setUp(fixture)
            let region = try arena.allocate(bytes: 20 * 4096)
            let (_, outcome) = try uploader!.start(.pattern(9), to: region)
            uploader = nil
            try outcome.get()
            #expect(try region.read() == pattern(9, bytes: region.bytes))
        }
        fixture.check()
    }
}
