import Dispatch
import Glibc
import Support

/// The device `host`: ordinary memory, with a thread per stream. Copies are as asynchronous as on a GPU, and events and
/// the order of copies as binding.
final class HostDevice: Device {
    let name: DeviceName
    private let beforeEachCopy: @Sendable () -> Void

    /// - Parameters:
    ///   - name: another name for the same memory, for kinds of devices that tests define.
    ///   - beforeEachCopy: called on the stream's thread; tests use it to delay copies.
    init(name: DeviceName = .host, beforeEachCopy: @escaping @Sendable () -> Void = {}) {
        self.name = name
        self.beforeEachCopy = beforeEachCopy
    }

    var model: String { "ordinary memory" }
    var releaseFailure: DeviceError? { nil }

    /// The memory that this process may use, and what is available of it, page cache included. Both are the machine's, or
    /// less if a control group limits them.
    func memory() throws(DeviceError) -> MemorySize {
        guard let available = SystemMemory.available() else {
            // Without a free descriptor, for example.
            throw .system(
                operation: "/proc/meminfo: MemAvailable", code: KernelFile.failure("/proc/meminfo") ?? ENOENT)
        }
        return MemorySize(total: SystemMemory.total(), free: available)
    }

    /// The corresponding C function is `mmap`: pages are allocated at the first write, as huge pages if the kernel has
    /// any.
    func allocate(bytes: Int) throws(DeviceError) -> DeviceAddress {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0), memory != MAP_FAILED else {
            if errno == ENOMEM { throw .outOfMemory(name, requested: bytes, free: try memory().free) }
            throw .system(operation: "mmap", code: errno)
        }
        // Only advice: without huge pages the memory works the same.
        // 14 is MADV_HUGEPAGE, which Glibc does not export to Swift.
        madvise(memory, bytes, 14)
        return DeviceAddress(raw: UInt64(UInt(bitPattern: memory)))
    }

    func free(_ address: DeviceAddress, bytes: Int) {
        munmap(address.pointer, bytes)
    }

    func allocatePinned(bytes: Int) throws(DeviceError) -> UnsafeMutableRawPointer {
        try allocate(bytes: bytes).pointer
    }

    func freePinned(_ memory: UnsafeMutableRawPointer, bytes: Int) {
        munmap(memory, bytes)
    }

    // Ordinary memory needs no pinning.
    func register(_ pages: UnsafeRawBufferPointer) {}
    func unregister(_ pages: UnsafeRawBufferPointer) {}

    func createStream() throws(DeviceError) -> OpaquePointer {
        OpaquePointer(Unmanaged.passRetained(try WorkerThreads.forDevice(1)).toOpaque())
    }

    func destroyStream(_ stream: OpaquePointer) {
        Unmanaged<WorkerThreads>.fromOpaque(UnsafeRawPointer(stream)).release()
    }

    func createEvent() -> OpaquePointer {
        OpaquePointer(Unmanaged.passRetained(HostEvent()).toOpaque())
    }

    func destroyEvent(_ event: OpaquePointer) {
        Unmanaged<HostEvent>.fromOpaque(UnsafeRawPointer(event)).release()
    }

    func copy(from source: UnsafeRawBufferPointer, to address: DeviceAddress, on stream: OpaquePointer) {
        copy(from: source.baseAddress, to: address.pointer, bytes: source.count, on: stream)
    }

    func copy(from address: DeviceAddress, to target: UnsafeMutableRawBufferPointer, on stream: OpaquePointer) {
        copy(from: address.pointer, to: target.baseAddress, bytes: target.count, on: stream)
    }

    func copy(from source: DeviceAddress, to target: DeviceAddress, bytes: Int, on stream: OpaquePointer) {
        copy(from: source.pointer, to: target.pointer, bytes: bytes, on: stream)
    }

    private func copy(
        from source: UnsafeRawPointer?, to target: UnsafeMutableRawPointer?, bytes: Int, on stream: OpaquePointer
    ) {
        guard bytes > 0 else { return }
        // The caller keeps both valid until the copy has run: the protocol's contract.
        nonisolated(unsafe) let (source, target) = (source!, target!)
        threads(stream).submit { [beforeEachCopy] in
            beforeEachCopy()
            memcpy(target, source, bytes)
        }
    }

    func record(_ event: OpaquePointer, on stream: OpaquePointer) {
        let event = self.event(event)
        let mark = event.record()
        threads(stream).submit { event.complete(mark) }
    }

    func wait(for event: OpaquePointer, on stream: OpaquePointer) {
        let event = self.event(event)
        let mark = event.mark
        threads(stream).submit { event.wait(for: mark) }
    }

    func isComplete(_ event: OpaquePointer) -> Bool {
        self.event(event).isComplete
    }

    func synchronize(event: OpaquePointer) {
        let event = self.event(event)
        event.wait(for: event.mark)
    }

    func synchronize(stream: OpaquePointer) {
        let reached = DispatchSemaphore(value: 0)
        threads(stream).submit { reached.signal() }
        reached.wait()
    }

    private func threads(_ stream: OpaquePointer) -> WorkerThreads {
        Unmanaged.fromOpaque(UnsafeRawPointer(stream)).takeUnretainedValue()
    }

    private func event(_ event: OpaquePointer) -> HostEvent {
        Unmanaged.fromOpaque(UnsafeRawPointer(event)).takeUnretainedValue()
    }
}

extension DeviceAddress {
    /// The pointer; valid for memory of the host device only.
    fileprivate var pointer: UnsafeMutableRawPointer { UnsafeMutableRawPointer(bitPattern: UInt(raw))! }
}
