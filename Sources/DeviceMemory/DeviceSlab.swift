/// A large allocation of device memory, freed with the value.
package final class DeviceSlab: Sendable {
    /// In bytes; the alignment that PyTorch uses. CUDA guarantees 256.
    package static let alignment = 512

    package let device: any Device
    /// A multiple of `alignment`.
    package let address: DeviceAddress
    package let bytes: Int
    private let taken: (address: DeviceAddress, bytes: Int)

    package init(_ device: any Device, bytes: Int) throws(DeviceError) {
        var taken = (address: try device.allocate(bytes: bytes), bytes: bytes)
        var skipped = 0
        if taken.address.raw % UInt64(Self.alignment) != 0 {
            // Never observed: large allocations begin at pages of 2 MiB.
            device.free(taken.address, bytes: bytes)
            taken.bytes += Self.alignment
            taken.address = try device.allocate(bytes: taken.bytes)
            skipped = (Self.alignment - Int(taken.address.raw % UInt64(Self.alignment))) % Self.alignment
        }
        self.taken = taken
        address = taken.address + skipped
        self.device = device
        self.bytes = bytes
    }

    deinit { device.free(taken.address, bytes: taken.bytes) }

    /// Copies the bytes back to the host, for checks. Blocks.
    package func read() throws(DeviceError) -> [UInt8] {
        try withExtendedLifetime(self) { () throws(DeviceError) in try device.read(address, bytes: bytes) }
    }
}

extension Device {
    /// Copies `bytes` bytes back to the host, for checks. Blocks.
    package func read(_ address: DeviceAddress, bytes: Int) throws(DeviceError) -> [UInt8] {
        let stream = try DeviceStream(self)
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 64)
        defer {
            stream.drain()
            target.deallocate()
        }
        try stream.copy(from: address, to: target)
        try stream.synchronize()
        return Array(target)
    }
}
