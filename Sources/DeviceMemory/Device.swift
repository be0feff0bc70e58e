/// The memory of a device, and the operations that copy bytes to it: everything that the layers above need of a GPU.
/// `CUDADevice` is the CUDA driver; `HostDevice` does the same in ordinary memory.
///
/// These are the raw calls, with the driver's own rules. Prefer the types that release their resource with the value:
/// `DeviceSlab`, `PinnedMemory`, `RegisteredMemory`, `DeviceStream`, `DeviceEvent`.
///
/// Callable from any thread. A release does not throw, because its caller could not act on the error; the first failure
/// is kept in `releaseFailure`.
package protocol Device: AnyObject, Sendable {
    var name: DeviceName { get }
    /// The manufacturer's name: `NVIDIA H100 80GB HBM3`.
    var model: String { get }
    /// The first failure of a release. With CUDA it is the delayed report of a failed copy, which every later call
    /// reports too.
    var releaseFailure: DeviceError? { get }

    /// Total and free memory of the device (`cuMemGetInfo`).
    func memory() throws(DeviceError) -> MemorySize

    /// Allocates device memory, aligned to at least 256 bytes (`cuMemAlloc`). Slow; may wait for the device.
    ///
    /// - Throws: ``DeviceError/outOfMemory(_:requested:free:)``.
    func allocate(bytes: Int) throws(DeviceError) -> DeviceAddress
    /// Frees device memory (`cuMemFree`). No copy from or to it may be in progress.
    func free(_ address: DeviceAddress, bytes: Int)

    /// Allocates pinned host memory, which the device reads at full speed and asynchronously (`cuMemHostAlloc`).
    func allocatePinned(bytes: Int) throws(DeviceError) -> UnsafeMutableRawPointer
    func freePinned(_ memory: UnsafeMutableRawPointer, bytes: Int)

    /// Pins existing memory, in whole pages, for reading (`cuMemHostRegister`). The driver may reject it.
    func register(_ pages: UnsafeRawBufferPointer) throws(DeviceError)
    func unregister(_ pages: UnsafeRawBufferPointer)

    /// Creates a queue of copies, which run in order, in parallel with other streams (`cuStreamCreate`).
    func createStream() throws(DeviceError) -> OpaquePointer
    /// Destroys a stream (`cuStreamDestroy`). Copies that are already on it still run.
    func destroyStream(_ stream: OpaquePointer)
    /// Creates a mark in a stream (`cuEventCreate`).
    func createEvent() throws(DeviceError) -> OpaquePointer
    func destroyEvent(_ event: OpaquePointer)

    /// Enqueues a copy to the device (`cuMemcpyHtoDAsync`). `source` must not change until the copy has run.
    func copy(from source: UnsafeRawBufferPointer, to address: DeviceAddress, on stream: OpaquePointer)
        throws(DeviceError)
    /// Enqueues a copy to the host (`cuMemcpyDtoHAsync`).
    func copy(from address: DeviceAddress, to target: UnsafeMutableRawBufferPointer, on stream: OpaquePointer)
        throws(DeviceError)
    /// Enqueues a copy within the device (`cuMemcpyDtoDAsync`).
    func copy(from source: DeviceAddress, to target: DeviceAddress, bytes: Int, on stream: OpaquePointer)
        throws(DeviceError)

    /// Moves the mark to the current end of the stream (`cuEventRecord`).
    func record(_ event: OpaquePointer, on stream: OpaquePointer) throws(DeviceError)
    /// Makes later work on the stream run after the mark (`cuStreamWaitEvent`). Returns at once.
    func wait(for event: OpaquePointer, on stream: OpaquePointer) throws(DeviceError)
    /// Whether everything before the mark has run (`cuEventQuery`). True for an event that was never recorded.
    func isComplete(_ event: OpaquePointer) throws(DeviceError) -> Bool
    /// Blocks until everything before the mark has run (`cuEventSynchronize`), and throws if it failed.
    func synchronize(event: OpaquePointer) throws(DeviceError)
    /// Blocks until everything on the stream has run (`cuStreamSynchronize`), and throws if it failed.
    func synchronize(stream: OpaquePointer) throws(DeviceError)
}

/// Sizes in bytes.
package struct MemorySize: Equatable, Sendable {
    package var total: Int
    package var free: Int
}

/// An address in a device's memory, which the host cannot dereference.
package struct DeviceAddress: Hashable, Sendable {
    package let raw: UInt64

    package init(raw: UInt64) {
        self.raw = raw
    }

    package static func + (address: DeviceAddress, bytes: Int) -> DeviceAddress {
        DeviceAddress(raw: address.raw + UInt64(bytes))
    }
}
