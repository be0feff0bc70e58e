/// A queue of copies: they run in the order in which they were put there, beside the caller and beside other streams.
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

    /// - Parameter source: must stay as it is until the copy has run. Its owner too: `withExtendedLifetime`, where
    ///   nothing else keeps it.
    package func copy(from source: UnsafeRawBufferPointer, to address: DeviceAddress) throws(DeviceError) {
        try device.copy(from: source, to: address, on: handle)
    }

    /// - Parameter target: holds the bytes when the copy has run.
    package func copy(from address: DeviceAddress, to target: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        try device.copy(from: address, to: target, on: handle)
    }

    package func copy(from source: DeviceAddress, to target: DeviceAddress, bytes: Int) throws(DeviceError) {
        try device.copy(from: source, to: target, bytes: bytes, on: handle)
    }

    /// Moves `event` to the end of what is on the stream now.
    package func record(_ event: DeviceEvent) throws(DeviceError) {
        try device.record(event.handle, on: handle)
    }

    /// What is put on the stream from now on runs after `event`. Returns at once.
    package func wait(for event: DeviceEvent) throws(DeviceError) {
        try device.wait(for: event.handle, on: handle)
    }

    /// Blocks until everything on the stream has run.
    package func synchronize() throws(DeviceError) {
        try device.synchronize(stream: handle)
    }

    /// Blocks until nothing runs on the stream, when something has failed already: before memory is given back that
    /// copies might still use. If waiting fails too, the context is lost, and its copies with it.
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

    /// Whether everything before the mark has run. True of an event that was never recorded.
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
