/// A queue of copies, which run in order, asynchronously to the caller and in parallel with other streams.
///
/// The corresponding CUDA type is `CUstream`.
package final class DeviceStream: Sendable {
    package let device: any Device
    // A handle, which the device accepts from any thread.
    private nonisolated(unsafe) let handle: OpaquePointer

    package init(_ device: any Device) throws(DeviceError) {
        handle = try device.createStream()
        self.device = device
    }

    deinit { device.destroyStream(handle) }

    /// Enqueues a copy to the device.
    ///
    /// - Parameter source: must stay valid and unchanged until the copy has run. Use `withExtendedLifetime` if nothing
    ///   else retains its owner.
    package func copy(from source: UnsafeRawBufferPointer, to address: DeviceAddress) throws(DeviceError) {
        try device.copy(from: source, to: address, on: handle)
    }

    /// Enqueues a copy to the host.
    ///
    /// - Parameter target: contains the bytes once the copy has run.
    package func copy(from address: DeviceAddress, to target: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        try device.copy(from: address, to: target, on: handle)
    }

    /// Enqueues a copy within the device.
    package func copy(from source: DeviceAddress, to target: DeviceAddress, bytes: Int) throws(DeviceError) {
        try device.copy(from: source, to: target, bytes: bytes, on: handle)
    }

    /// Moves `event` to the current end of the stream.
    package func record(_ event: DeviceEvent) throws(DeviceError) {
        try device.record(event.handle, on: handle)
    }

    /// Makes later work on the stream run after `event`. Returns at once.
    package func wait(for event: DeviceEvent) throws(DeviceError) {
        try device.wait(for: event.handle, on: handle)
    }

    /// Blocks until everything on the stream has run.
    package func synchronize() throws(DeviceError) {
        try device.synchronize(stream: handle)
    }

    /// Blocks until the stream is idle, after a failure: called before memory is freed that copies might still use. If
    /// waiting fails too, the context is lost, and its copies with it.
    package func drain() {
        try? synchronize()
    }
}

/// A mark in a stream: complete when everything before it has run.
///
/// The corresponding CUDA type is `CUevent`.
package final class DeviceEvent: Sendable {
    package let device: any Device
    // A handle, which the device accepts from any thread. An engine gives it to `cuStreamWaitEvent`.
    package nonisolated(unsafe) let handle: OpaquePointer

    package init(_ device: any Device) throws(DeviceError) {
        handle = try device.createEvent()
        self.device = device
    }

    deinit { device.destroyEvent(handle) }

    /// Whether everything before the mark has run. True for an event that was never recorded.
    ///
    /// - Throws: if a copy failed.
    package var isComplete: Bool {
        get throws(DeviceError) { try device.isComplete(handle) }
    }

    /// Blocks until everything before the mark has run.
    ///
    /// - Throws: if a copy failed.
    package func synchronize() throws(DeviceError) {
        try device.synchronize(event: handle)
    }
}
