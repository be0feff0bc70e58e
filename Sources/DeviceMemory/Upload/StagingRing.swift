import Dispatch
import Synchronization

/// The pinned buffers through which bytes reach the device: a fixed number, regardless of the model's size.
///
/// A buffer is reused only after its last copy has run, so bytes that the device still reads are not overwritten. If no
/// buffer is free, the caller waits, which slows a source to the speed of the bus. The buffer whose copy began first is
/// reused first.
package final class StagingRing: Sendable {
    package let bufferBytes: Int
    private let idle: Mutex<[Slot]>
    private let available: DispatchSemaphore

    fileprivate final class Slot: Sendable {
        let memory: PinnedMemory
        let copied: DeviceEvent

        init(_ device: any Device, bytes: Int) throws(DeviceError) {
            memory = try PinnedMemory(device, bytes: bytes)
            copied = try DeviceEvent(device)
        }

        // Pinned memory must outlive its copy. A failed copy has ended too, so its error is ignored.
        deinit { try? copied.synchronize() }
    }

    package init(_ device: any Device, buffers: Int, bufferBytes: Int) throws(DeviceError) {
        var slots: [Slot] = []
        for _ in 0..<buffers { slots.append(try Slot(device, bytes: bufferBytes)) }
        self.bufferBytes = bufferBytes
        idle = Mutex(slots)
        available = DispatchSemaphore(value: buffers)
    }

    /// Returns the next buffer. Blocks until one is free and its last copy has run.
    ///
    /// - Throws: if that copy failed.
    package func acquire() throws(DeviceError) -> StagingBuffer {
        available.wait()
        let buffer = StagingBuffer(self, idle.withLock { $0.removeFirst() })
        try buffer.waitForLastCopy()
        return buffer
    }

    fileprivate func release(_ slot: Slot) {
        idle.withLock { $0.append(slot) }
        available.signal()
    }
}

/// A buffer of a staging ring, returned to it with the value.
package struct StagingBuffer: ~Copyable {
    private let ring: StagingRing
    private let slot: StagingRing.Slot

    fileprivate init(_ ring: StagingRing, _ slot: StagingRing.Slot) {
        self.ring = ring
        self.slot = slot
    }

    deinit { ring.release(slot) }

    package var bytes: UnsafeMutableRawBufferPointer { slot.memory.bytes }

    /// Enqueues the copy of the first `count` bytes on `stream`, and returns the buffer to the ring.
    package consuming func send(_ count: Int, to address: DeviceAddress, on stream: DeviceStream) throws(DeviceError) {
        try stream.copy(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]), to: address)
        do {
            try stream.record(slot.copied)
        } catch {
            // Without the event the end of the copy cannot be detected, so wait here.
            stream.drain()
            throw error
        }
    }

    fileprivate func waitForLastCopy() throws(DeviceError) {
        try slot.copied.synchronize()
    }
}
