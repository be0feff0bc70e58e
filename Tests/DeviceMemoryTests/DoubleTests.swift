import TestSupport
import Testing

@testable import DeviceMemory

/// The test double can be trusted because it detects the errors that the other tests rule out.
@Suite("The test double", .blocking)
struct DoubleTests {
    private func violations(_ body: (any Device, CUDADouble) throws -> Void) throws -> [String] {
        let double = try CUDADouble()
        let device = try double.open()
        // Some of these calls fail, too.
        try? body(device, double)
        double.hold(false)
        let stream = try DeviceStream(device)
        try stream.synchronize()
        return double.violations
    }

    @Test("it notices a call without a context")
    func noContext() throws {
        let found = try violations { _, double in
            var address: UInt64 = 0
            _ = try CUDALibrary(double.path).functions.cuMemAlloc_v2(&address, 512)
        }
        #expect(found == ["cuMemAlloc_v2 without a current context"])
    }

    @Test("it notices a stream of another device")
    func otherContext() throws {
        let found = try violations { device, double in
            let other = try double.open(1)
            let stream = try other.createStream()
            defer { other.destroyStream(stream) }
            try device.synchronize(stream: stream)
        }
        #expect(found == ["cuStreamSynchronize: a stream of another context"])
    }

    @Test("it notices a pinned buffer that is overwritten before its copy has run")
    func overwritten() throws {
        let found = try violations { device, double in
            let (stream, source) = (try DeviceStream(device), try PinnedMemory(device, bytes: 512))
            let slab = try DeviceSlab(device, bytes: 512)
            double.hold(true)
            try stream.copy(from: UnsafeRawBufferPointer(source.bytes), to: slab.address)
            source.bytes[100] ^= 1
            double.hold(false)
            try stream.synchronize()
            keep(source, slab)
        }
        #expect(found == ["copy 1: its source was overwritten"])
    }

    @Test("it notices memory that is freed under a copy")
    func freed() throws {
        let found = try violations { device, double in
            let (stream, source) = (try DeviceStream(device), try PinnedMemory(device, bytes: 512))
            double.hold(true)
            do {
                let slab = try DeviceSlab(device, bytes: 512)
                try stream.copy(from: UnsafeRawBufferPointer(source.bytes), to: slab.address)
                keep(slab)
            }
            double.hold(false)
            try stream.synchronize()
            keep(source)
        }
        #expect(
            found == [
                "memory is freed while copies to or from it are pending", "copy 1 runs in memory that was freed",
            ])
    }

    @Test("it notices a copy past the end, and memory that is freed twice")
    func overrun() throws {
        let found = try violations { device, _ in
            let stream = try DeviceStream(device)
            let address = try device.allocate(bytes: 512)
            [UInt8](repeating: 0, count: 100).withUnsafeBytes { bytes in
                // Fails, too.
                try? stream.copy(from: bytes, to: address + 500)
            }
            device.free(address, bytes: 512)
            device.free(address, bytes: 512)
        }
        #expect(
            found == [
                "cuMemcpyHtoDAsync_v2 outside of allocated memory", "memory is freed twice, or was never allocated",
            ])
    }

    @Test("it notices leaks")
    func leaked() throws {
        let double = try CUDADouble()
        let device = try double.open()
        let events = try (0..<3).map { _ in try device.createEvent() }
        #expect(double.live == 4)
        #expect(double.liveWords.contains("1 contexts") && double.liveWords.contains("3 events"))
        for event in events { device.destroyEvent(event) }
        keep(device)
    }
}
