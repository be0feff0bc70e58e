import TestSupport
import Testing

@testable import DeviceMemory

@Suite("Streams and events", .blocking)
struct StreamTests {
    private func filled(_ memory: PinnedMemory, _ seed: Int) -> UnsafeRawBufferPointer {
        memory.bytes.copyBytes(from: pattern(seed, bytes: memory.bytes.count))
        return UnsafeRawBufferPointer(memory.bytes)
    }

    @Test("copies of a stream run in order, in every direction", arguments: Kind.allCases)
    func order(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let device = try fixture.open()
            let stream = try DeviceStream(device)
            let slab = try DeviceSlab(device, bytes: 8192)
            let back = try PinnedMemory(device, bytes: 4096)
            fixture.hold()
            let sources = try (0..<10).map { _ in try PinnedMemory(device, bytes: 4096) }
            for (seed, source) in sources.enumerated() {
                try stream.copy(from: filled(source, seed), to: slab.address)
                if seed == 4 { try stream.copy(from: slab.address, to: slab.address + 4096, bytes: 4096) }
            }
            try stream.copy(from: slab.address + 4096, to: back.bytes)
            fixture.release()
            try stream.synchronize()
            #expect(Array(back.bytes) == pattern(4, bytes: 4096))
            #expect(try slab.read().prefix(4096) == pattern(9, bytes: 4096)[...])
            keep(sources)
        }
        fixture.check()
    }

    @Test("an event is complete when the copies before it have run, and not before", arguments: Kind.allCases)
    func events(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let device = try fixture.open()
            let stream = try DeviceStream(device)
            let event = try DeviceEvent(device)
            let slab = try DeviceSlab(device, bytes: 4096)
            let source = try PinnedMemory(device, bytes: 4096)
            #expect(try event.isComplete, "never recorded")
            try event.synchronize()
            for seed in 1...2 {
                fixture.hold()
                try stream.copy(from: filled(source, seed), to: slab.address)
                try stream.record(event)
                #expect(try !event.isComplete)
                fixture.release()
                try event.synchronize()
                #expect(try event.isComplete)
                #expect(try slab.read() == pattern(seed, bytes: 4096))
            }
            keep(source)
        }
        fixture.check()
    }

    @Test("a stream that waits for an event runs after it, and the caller is not blocked", arguments: Kind.allCases)
    func waiting(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let device = try fixture.open()
            let (first, second) = (try DeviceStream(device), try DeviceStream(device))
            let slab = try DeviceSlab(device, bytes: 4096)
            let source = try PinnedMemory(device, bytes: 4096)
            let back = try PinnedMemory(device, bytes: 4096)
            let event = try DeviceEvent(device)
            for seed in 0..<50 {
                fixture.hold()
                try first.copy(from: filled(source, seed), to: slab.address)
                try first.record(event)
                try second.wait(for: event)
                try second.copy(from: slab.address, to: back.bytes)
                fixture.release()
                try second.synchronize()
                #expect(Array(back.bytes) == pattern(seed, bytes: 4096))
            }
            keep(source, slab)
        }
        fixture.check()
    }

    @Test("a stream that is released still runs its queued copies", arguments: Kind.allCases)
    func released(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        do {
            let device = try fixture.open()
            let slab = try DeviceSlab(device, bytes: 4096)
            let source = try PinnedMemory(device, bytes: 4096)
            let event = try DeviceEvent(device)
            fixture.hold()
            do {
                let stream = try DeviceStream(device)
                try stream.copy(from: filled(source, 7), to: slab.address)
                try stream.record(event)
            }
            fixture.release()
            try event.synchronize()
            #expect(try slab.read() == pattern(7, bytes: 4096))
            keep(source)
        }
        fixture.check()
    }
}
