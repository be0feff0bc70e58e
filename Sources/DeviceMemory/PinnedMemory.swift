import Glibc

/// Host memory that the device reads by itself, given back with the value.
package final class PinnedMemory: Sendable {
    private let device: any Device
    // Whoever uses the memory sees to it that one at a time does.
    package nonisolated(unsafe) let bytes: UnsafeMutableRawBufferPointer

    package init(_ device: any Device, bytes: Int) throws(DeviceError) {
        self.bytes = UnsafeMutableRawBufferPointer(start: try device.allocatePinned(bytes: bytes), count: bytes)
        self.device = device
    }

    deinit { device.freePinned(bytes.baseAddress!, bytes: bytes.count) }
}

/// Memory that somebody else owns, such as a mapped blob, pinned where it is: it can go to the device without passing
/// a staging buffer.
///
/// Pinning costs about as much as copying once. It pays for memory that stays and is uploaded again and again.
package final class RegisteredMemory: Sendable {
    // Immutable memory, which the owner keeps.
    package nonisolated(unsafe) let bytes: UnsafeRawBufferPointer
    private nonisolated(unsafe) let pages: UnsafeRawBufferPointer
    private let owner: any Sendable
    let device: any Device

    /// - Parameter bytes: mapped memory, not empty, that nobody changes. The whole pages around it are pinned.
    /// - Parameter owner: keeps `bytes` mapped as long as it lives.
    /// - Throws: what the driver says; it may refuse mappings of files, or pages that are registered already.
    package init(_ device: any Device, _ bytes: UnsafeRawBufferPointer, owner: any Sendable) throws(DeviceError) {
        let page = sysconf(Int32(_SC_PAGESIZE))
        let start = Int(bitPattern: bytes.baseAddress) & ~(page - 1)
        let end = (Int(bitPattern: bytes.baseAddress) + bytes.count + page - 1) & ~(page - 1)
        pages = UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: start), count: end - start)
        try device.register(pages)
        self.device = device
        self.bytes = bytes
        self.owner = owner
    }

    deinit { device.unregister(pages) }
}
