import Synchronization

/// A CUDA device with its primary context, the one that PyTorch and the CUDA runtime use: an engine's kernels can
/// access the memory.
///
/// Every call makes this context current on its thread and restores the previous one, so that any thread may call, also
/// an engine's thread that uses another context.
final class CUDADevice: Device {
    let name: DeviceName
    let model: String
    private let library: CUDALibrary
    private let device: Int32
    // A handle, which the driver accepts from any thread.
    private nonisolated(unsafe) let context: OpaquePointer
    private let firstReleaseFailure = Mutex<DeviceError?>(nil)

    private var cuda: CUDAFunctions { library.functions }

    /// Retains the primary context (`cuDevicePrimaryCtxRetain`), which creates it if necessary.
    ///
    /// - Throws: ``DeviceError/noSuchDevice(_:count:)``, or the driver's error.
    init(_ ordinal: Int, _ library: CUDALibrary) throws(DeviceError) {
        name = .cuda(ordinal)
        self.library = library
        device = try library.device(ordinal)
        model = try library.properties(of: ordinal).model
        var context: OpaquePointer?
        try library.check(
            "cuDevicePrimaryCtxRetain", library.functions.cuDevicePrimaryCtxRetain(&context, device), name)
        self.context = context!
    }

    // A failure cannot be reported any more.
    deinit { _ = cuda.cuDevicePrimaryCtxRelease_v2(device) }

    var releaseFailure: DeviceError? { firstReleaseFailure.withLock { $0 } }

    func memory() throws(DeviceError) -> MemorySize {
        var size = MemorySize(total: 0, free: 0)
        try call("cuMemGetInfo_v2") { $0.cuMemGetInfo_v2(&size.free, &size.total) }
        return size
    }

    func allocate(bytes: Int) throws(DeviceError) -> DeviceAddress {
        var address: UInt64 = 0
        let code = try inContext { $0.cuMemAlloc_v2(&address, bytes) }
        if code == CUDACode.outOfMemory { throw .outOfMemory(name, requested: bytes, free: try memory().free) }
        try library.check("cuMemAlloc_v2", code, name, bytes: bytes)
        return DeviceAddress(raw: address)
    }

    func free(_ address: DeviceAddress, bytes: Int) {
        release("cuMemFree_v2", bytes: bytes) { $0.cuMemFree_v2(address.raw) }
    }

    func allocatePinned(bytes: Int) throws(DeviceError) -> UnsafeMutableRawPointer {
        var memory: UnsafeMutableRawPointer?
        try call("cuMemHostAlloc", bytes: bytes) { $0.cuMemHostAlloc(&memory, bytes, CUDAFlags.hostAllocPortable) }
        return memory!
    }

    func freePinned(_ memory: UnsafeMutableRawPointer, bytes: Int) {
        release("cuMemFreeHost", bytes: bytes) { $0.cuMemFreeHost(memory) }
    }

    func register(_ pages: UnsafeRawBufferPointer) throws(DeviceError) {
        let start = UnsafeMutableRawPointer(mutating: pages.baseAddress!)
        try call("cuMemHostRegister_v2", bytes: pages.count) {
            $0.cuMemHostRegister_v2(start, pages.count, CUDAFlags.hostRegister)
        }
    }

    func unregister(_ pages: UnsafeRawBufferPointer) {
        let start = UnsafeMutableRawPointer(mutating: pages.baseAddress!)
        release("cuMemHostUnregister", bytes: pages.count) { $0.cuMemHostUnregister(start) }
    }

    func createStream() throws(DeviceError) -> OpaquePointer {
        var stream: OpaquePointer?
        try call("cuStreamCreate") { $0.cuStreamCreate(&stream, CUDAFlags.streamNonBlocking) }
        return stream!
    }

    func destroyStream(_ stream: OpaquePointer) {
        release("cuStreamDestroy_v2") { $0.cuStreamDestroy_v2(stream) }
    }

    func createEvent() throws(DeviceError) -> OpaquePointer {
        var event: OpaquePointer?
        try call("cuEventCreate") { $0.cuEventCreate(&event, CUDAFlags.event) }
        return event!
    }

    func destroyEvent(_ event: OpaquePointer) {
        release("cuEventDestroy_v2") { $0.cuEventDestroy_v2(event) }
    }

    func copy(from source: UnsafeRawBufferPointer, to address: DeviceAddress, on stream: OpaquePointer)
        throws(DeviceError)
    {
        guard let base = source.baseAddress, source.count > 0 else { return }
        try call("cuMemcpyHtoDAsync_v2", bytes: source.count) {
            $0.cuMemcpyHtoDAsync_v2(address.raw, base, source.count, stream)
        }
    }

    func copy(from address: DeviceAddress, to target: UnsafeMutableRawBufferPointer, on stream: OpaquePointer)
        throws(DeviceError)
    {
        guard let base = target.baseAddress, target.count > 0 else { return }
        try call("cuMemcpyDtoHAsync_v2", bytes: target.count) {
            $0.cuMemcpyDtoHAsync_v2(base, address.raw, target.count, stream)
        }
    }

    func copy(from source: DeviceAddress, to target: DeviceAddress, bytes: Int, on stream: OpaquePointer)
        throws(DeviceError)
    {
        guard bytes > 0 else { return }
        try call("cuMemcpyDtoDAsync_v2", bytes: bytes) {
            $0.cuMemcpyDtoDAsync_v2(target.raw, source.raw, bytes, stream)
        }
    }

    func record(_ event: OpaquePointer, on stream: OpaquePointer) throws(DeviceError) {
        try call("cuEventRecord") { $0.cuEventRecord(event, stream) }
    }

    func wait(for event: OpaquePointer, on stream: OpaquePointer) throws(DeviceError) {
        try call("cuStreamWaitEvent") { $0.cuStreamWaitEvent(stream, event, 0) }
    }

    func isComplete(_ event: OpaquePointer) throws(DeviceError) -> Bool {
        let code = try inContext { $0.cuEventQuery(event) }
        if code == CUDACode.notReady { return false }
        try library.check("cuEventQuery", code, name)
        return true
    }

    func synchronize(event: OpaquePointer) throws(DeviceError) {
        try call("cuEventSynchronize") { $0.cuEventSynchronize(event) }
    }

    func synchronize(stream: OpaquePointer) throws(DeviceError) {
        try call("cuStreamSynchronize") { $0.cuStreamSynchronize(stream) }
    }
}

extension CUDADevice {
    private func call(_ function: String, bytes: Int? = nil, _ body: (CUDAFunctions) -> Int32) throws(DeviceError) {
        try library.check(function, try inContext(body), name, bytes: bytes)
    }

    /// Runs `body` with the context current (`cuCtxPushCurrent`, `cuCtxPopCurrent`), and returns its code.
    private func inContext(_ body: (CUDAFunctions) -> Int32) throws(DeviceError) -> Int32 {
        try library.check("cuCtxPushCurrent_v2", cuda.cuCtxPushCurrent_v2(context), name)
        let code = body(cuda)
        var popped: OpaquePointer?
        // `body` has already run, so this failure is recorded as a release's and not thrown to the caller.
        note { () throws(DeviceError) in
            try library.check("cuCtxPopCurrent_v2", cuda.cuCtxPopCurrent_v2(&popped), name)
        }
        return code
    }

    /// Like `call`, for functions that must not throw. If the context cannot be made current, it is tried once more,
    /// because no later call would release the resource.
    private func release(_ function: String, bytes: Int? = nil, _ body: (CUDAFunctions) -> Int32) {
        note { () throws(DeviceError) in
            let code: Int32
            do {
                code = try inContext(body)
            } catch {
                code = try inContext(body)
            }
            try library.check(function, code, name, bytes: bytes)
        }
    }

    private func note(_ body: () throws(DeviceError) -> Void) {
        do {
            try body()
        } catch {
            firstReleaseFailure.withLock { $0 = $0 ?? error }
        }
    }
}
