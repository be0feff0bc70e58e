/// Memory that a model can be brought into, and the machinery that copies bytes there: the whole of what the layers
/// above need of a GPU. `CUDADevice` is the CUDA driver; `HostDevice` does the same in ordinary memory.
///
/// These are the raw calls, with the driver's own rules. Use the values that give back what they take: `DeviceSlab`,
/// `PinnedMemory`, `RegisteredMemory`, `DeviceStream`, `DeviceEvent`.
///
/// Callable from any thread. A release cannot throw: nobody would be there to act on it. What it meets is kept in
/// `releaseFailure`.
package protocol Device: AnyObject, Sendable {
    var name: DeviceName { get }
    /// What its maker calls it: `NVIDIA H100 80GB HBM3`.
    var model: String { get }
    /// The first failure of a release. With CUDA this is the late news of a failed copy, which every later call
    /// reports too.
    var releaseFailure: DeviceError? { get }

    /// How much the device has, and how much of it nobody holds (`cuMemGetInfo`).
    func memory() throws(DeviceError) -> MemorySize

    /// Takes device memory, aligned to at least 256 bytes (`cuMemAlloc`). Slow; may wait for the device.
    ///
    /// - Throws: ``DeviceError/outOfMemory(_:asked:free:)``.
    func allocate(bytes: Int) throws(DeviceError) -> DeviceAddress
    /// Gives it back (`cuMemFree`). No copy may be under way there.
    func free(_ address: DeviceAddress, bytes: Int)

    /// Takes host memory that the device reads at full speed and while the caller goes on (`cuMemHostAlloc`).
    func allocatePinned(bytes: Int) throws(DeviceError) -> UnsafeMutableRawPointer
    func freePinned(_ memory: UnsafeMutableRawPointer, bytes: Int)

    /// Pins memory that is there already, whole pages, for reading (`cuMemHostRegister`). The driver may refuse.
    func register(_ pages: UnsafeRawBufferPointer) throws(DeviceError)
    func unregister(_ pages: UnsafeRawBufferPointer)

    /// A queue of copies, run in order, beside those of other streams (`cuStreamCreate`).
    func createStream() throws(DeviceError) -> OpaquePointer
    /// What is on the stream still runs (`cuStreamDestroy`).
    func destroyStream(_ stream: OpaquePointer)
    /// A mark in a stream (`cuEventCreate`).
    func createEvent() throws(DeviceError) -> OpaquePointer
    func destroyEvent(_ event: OpaquePointer)

    /// Puts a copy on a stream (`cuMemcpyHtoDAsync`). `source` must stay as it is until the copy has run.
    func copy(from source: UnsafeRawBufferPointer, to address: DeviceAddress, on stream: OpaquePointer)
        throws(DeviceError)
    /// The way back (`cuMemcpyDtoHAsync`).
    func copy(from address: DeviceAddress, to target: UnsafeMutableRawBufferPointer, on stream: OpaquePointer)
        throws(DeviceError)
    /// Within the device (`cuMemcpyDtoDAsync`).
    func copy(from source: DeviceAddress, to target: DeviceAddress, bytes: Int, on stream: OpaquePointer)
        throws(DeviceError)

    /// Moves the mark to the end of what is on the stream now (`cuEventRecord`).
    func record(_ event: OpaquePointer, on stream: OpaquePointer) throws(DeviceError)
    /// What is put on the stream from now on runs after the mark (`cuStreamWaitEvent`). Does not wait itself.
    func wait(for event: OpaquePointer, on stream: OpaquePointer) throws(DeviceError)
    /// Whether everything before the mark has run (`cuEventQuery`). True of an event that was never recorded.
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

/// A place in a device's memory. The host cannot look there.
package struct DeviceAddress: Hashable, Sendable {
    package let raw: UInt64

    package init(raw: UInt64) {
        self.raw = raw
    }

    package static func + (address: DeviceAddress, bytes: Int) -> DeviceAddress {
        DeviceAddress(raw: address.raw + UInt64(bytes))
    }
}
