import Dispatch
import Synchronization

/// The pinned buffers that bytes pass through on their way to the device: a fixed number, whatever the model's size.
///
/// A buffer is handed out again only when its last copy has run, so nobody overwrites bytes that the device still
/// reads; and who finds none waits, so that a source slows to the pace of the bus. The one whose copy began first is
/// handed out first.
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

        // Pinned memory must outlive its copy; one that failed is over too.
        deinit { try? copied.synchronize() }
    }

    package init(_ device: any Device, buffers: Int, bufferBytes: Int) throws(DeviceError) {
        var slots: [Slot] = []
        for _ in 0..<buffers { slots.append(try Slot(device, bytes: bufferBytes)) }
        self.bufferBytes = bufferBytes
        idle = Mutex(slots)
        available = DispatchSemaphore(value: buffers)
    }

    /// Blocks until a buffer is there and its last copy has run.
    ///
    /// - Throws: if that copy failed.
    package func take() throws(DeviceError) -> StagingBuffer {
        available.wait()
        let buffer = StagingBuffer(self, idle.withLock { $0.removeFirst() })
        try buffer.waitForLastCopy()
        return buffer
    }

    fileprivate func giveBack(_ slot: Slot) {
        idle.withLock { $0.append(slot) }
        available.signal()
    }
}

/// A buffer of a staging ring, which goes back to it with the value.
package struct StagingBuffer: ~Copyable {
    private let ring: StagingRing
    private let slot: StagingRing.Slot

    fileprivate init(_ ring: StagingRing, _ slot: StagingRing.Slot) {
        self.ring = ring
        self.slot = slot
    }

    deinit { ring.giveBack(slot) }

    package var bytes: UnsafeMutableRawBufferPointer { slot.memory.bytes }

    /// Puts the copy of the first `count` bytes on `stream`, and gives the buffer back.
    package consuming func send(_ count: Int, to address: DeviceAddress, on stream: DeviceStream) throws(DeviceError) {
        try stream.copy(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]), to: address)
        do {
            try stream.record(slot.copied)
        } catch {
            // Nothing would tell when the copy has run, so wait here.
            stream.drain()
            throw error
        }
    }

    fileprivate func waitForLastCopy() throws(DeviceError) {
        try slot.copied.synchronize()
    }
}
