/// A region of device memory from an arena; freed when the value is released.
package final class DeviceRegion: Sendable {
    private let arena: DeviceArena
    package let address: DeviceAddress
    /// The requested size, before rounding.
    package let bytes: Int

    package var device: any Device { arena.device }

    init(_ arena: DeviceArena, _ address: DeviceAddress, bytes: Int) {
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
