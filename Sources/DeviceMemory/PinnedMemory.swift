import Glibc

/// Pinned host memory, which the device reads directly; freed with the value.
package final class PinnedMemory: Sendable {
    private let device: any Device
    // The user of the memory ensures that one thread at a time accesses it.
    package nonisolated(unsafe) let bytes: UnsafeMutableRawBufferPointer

    package init(_ device: any Device, bytes: Int) throws(DeviceError) {
        self.bytes = UnsafeMutableRawBufferPointer(start: try device.allocatePinned(bytes: bytes), count: bytes)
        self.device = device
    }

    deinit { device.freePinned(bytes.baseAddress!, bytes: bytes.count) }
}

/// Memory with another owner, such as a mapped blob, pinned in place: it is copied to the device without a staging
/// buffer.
///
/// Pinning costs about as much as one copy. It is worth it for memory that stays mapped and is uploaded repeatedly.
package final class RegisteredMemory: Sendable {
    // Immutable memory, which the owner keeps valid.
    package nonisolated(unsafe) let bytes: UnsafeRawBufferPointer
    private nonisolated(unsafe) let pages: UnsafeRawBufferPointer
    private let owner: any Sendable
    let device: any Device

    /// - Parameter bytes: mapped memory, not empty, that does not change. All pages that contain it are pinned.
    /// - Parameter owner: keeps `bytes` mapped as long as it lives.
    /// - Throws: the driver's error; it may reject mappings of files, or pages that are registered already.
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
