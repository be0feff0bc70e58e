/// A large piece of device memory, given back with the value.
package final class DeviceSlab: Sendable {
    package let device: any Device
    package let address: DeviceAddress
    package let bytes: Int

    package init(_ device: any Device, bytes: Int) throws(DeviceError) {
        address = try device.allocate(bytes: bytes)
        self.device = device
        self.bytes = bytes
    }

    deinit { device.free(address, bytes: bytes) }

    /// Reads the bytes back, for checks. Blocks.
    package func read() throws(DeviceError) -> [UInt8] {
        try withExtendedLifetime(self) { () throws(DeviceError) in try device.read(address, bytes: bytes) }
    }
}

extension Device {
    func read(_ address: DeviceAddress, bytes: Int) throws(DeviceError) -> [UInt8] {
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
