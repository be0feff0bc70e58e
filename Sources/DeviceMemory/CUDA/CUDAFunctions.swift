/// The functions of the CUDA driver that are used, by the names under which its library exports them.
///
/// C types: `CUresult`, `CUdevice` and flags are 32-bit integers, `CUdeviceptr` is a 64-bit integer, `CUcontext`,
/// `CUstream` and `CUevent` are opaque pointers.
struct CUDAFunctions: Sendable {
    typealias Code = Int32
    typealias Out<Value> = UnsafeMutablePointer<Value>
    typealias Text = UnsafeMutablePointer<UnsafePointer<CChar>?>

    let cuInit: @convention(c) @Sendable (UInt32) -> Code
    let cuGetErrorName: @convention(c) @Sendable (Code, Text) -> Code
    let cuGetErrorString: @convention(c) @Sendable (Code, Text) -> Code

    let cuDeviceGetCount: @convention(c) @Sendable (Out<Int32>) -> Code
    let cuDeviceGet: @convention(c) @Sendable (Out<Int32>, Int32) -> Code
    let cuDeviceGetName: @convention(c) @Sendable (Out<CChar>, Int32, Int32) -> Code
    let cuDeviceTotalMem_v2: @convention(c) @Sendable (Out<Int>, Int32) -> Code

    let cuDevicePrimaryCtxRetain: @convention(c) @Sendable (Out<OpaquePointer?>, Int32) -> Code
    let cuDevicePrimaryCtxRelease_v2: @convention(c) @Sendable (Int32) -> Code
    let cuCtxPushCurrent_v2: @convention(c) @Sendable (OpaquePointer) -> Code
    let cuCtxPopCurrent_v2: @convention(c) @Sendable (Out<OpaquePointer?>) -> Code

    let cuMemGetInfo_v2: @convention(c) @Sendable (_ free: Out<Int>, _ total: Out<Int>) -> Code
    let cuMemAlloc_v2: @convention(c) @Sendable (Out<UInt64>, Int) -> Code
    let cuMemFree_v2: @convention(c) @Sendable (UInt64) -> Code
    let cuMemHostAlloc: @convention(c) @Sendable (Out<UnsafeMutableRawPointer?>, Int, UInt32) -> Code
    let cuMemFreeHost: @convention(c) @Sendable (UnsafeMutableRawPointer) -> Code
    let cuMemHostRegister_v2: @convention(c) @Sendable (UnsafeMutableRawPointer, Int, UInt32) -> Code
    let cuMemHostUnregister: @convention(c) @Sendable (UnsafeMutableRawPointer) -> Code

    let cuStreamCreate: @convention(c) @Sendable (Out<OpaquePointer?>, UInt32) -> Code
    let cuStreamDestroy_v2: @convention(c) @Sendable (OpaquePointer) -> Code
    let cuStreamSynchronize: @convention(c) @Sendable (OpaquePointer) -> Code
    let cuStreamWaitEvent: @convention(c) @Sendable (OpaquePointer, OpaquePointer, UInt32) -> Code
    let cuEventCreate: @convention(c) @Sendable (Out<OpaquePointer?>, UInt32) -> Code
    let cuEventDestroy_v2: @convention(c) @Sendable (OpaquePointer) -> Code
    let cuEventRecord: @convention(c) @Sendable (_ event: OpaquePointer, _ stream: OpaquePointer) -> Code
    let cuEventQuery: @convention(c) @Sendable (OpaquePointer) -> Code
    let cuEventSynchronize: @convention(c) @Sendable (OpaquePointer) -> Code

    let cuMemcpyHtoDAsync_v2: @convention(c) @Sendable (UInt64, UnsafeRawPointer, Int, OpaquePointer) -> Code
    let cuMemcpyDtoHAsync_v2: @convention(c) @Sendable (UnsafeMutableRawPointer, UInt64, Int, OpaquePointer) -> Code
    let cuMemcpyDtoDAsync_v2: @convention(c) @Sendable (UInt64, UInt64, Int, OpaquePointer) -> Code

    /// - Parameter address: returns the address of an exported function.
    init(_ address: (String) throws(DeviceError) -> UnsafeMutableRawPointer) throws(DeviceError) {
        func find<Function>(_ name: String) throws(DeviceError) -> Function {
            unsafeBitCast(try address(name), to: Function.self)
        }
        cuInit = try find("cuInit")
        cuGetErrorName = try find("cuGetErrorName")
        cuGetErrorString = try find("cuGetErrorString")
        cuDeviceGetCount = try find("cuDeviceGetCount")
        cuDeviceGet = try find("cuDeviceGet")
        cuDeviceGetName = try find("cuDeviceGetName")
        cuDeviceTotalMem_v2 = try find("cuDeviceTotalMem_v2")
        cuDevicePrimaryCtxRetain = try find("cuDevicePrimaryCtxRetain")
        cuDevicePrimaryCtxRelease_v2 = try find("cuDevicePrimaryCtxRelease_v2")
        cuCtxPushCurrent_v2 = try find("cuCtxPushCurrent_v2")
        cuCtxPopCurrent_v2 = try find("cuCtxPopCurrent_v2")
        cuMemGetInfo_v2 = try find("cuMemGetInfo_v2")
        cuMemAlloc_v2 = try find("cuMemAlloc_v2")
        cuMemFree_v2 = try find("cuMemFree_v2")
        cuMemHostAlloc = try find("cuMemHostAlloc")
        cuMemFreeHost = try find("cuMemFreeHost")
        cuMemHostRegister_v2 = try find("cuMemHostRegister_v2")
        cuMemHostUnregister = try find("cuMemHostUnregister")
        cuStreamCreate = try find("cuStreamCreate")
        cuStreamDestroy_v2 = try find("cuStreamDestroy_v2")
        cuStreamSynchronize = try find("cuStreamSynchronize")
        cuStreamWaitEvent = try find("cuStreamWaitEvent")
        cuEventCreate = try find("cuEventCreate")
        cuEventDestroy_v2 = try find("cuEventDestroy_v2")
        cuEventRecord = try find("cuEventRecord")
        cuEventQuery = try find("cuEventQuery")
        cuEventSynchronize = try find("cuEventSynchronize")
        cuMemcpyHtoDAsync_v2 = try find("cuMemcpyHtoDAsync_v2")
        cuMemcpyDtoHAsync_v2 = try find("cuMemcpyDtoHAsync_v2")
        cuMemcpyDtoDAsync_v2 = try find("cuMemcpyDtoDAsync_v2")
    }
}

/// The result codes that are handled individually.
enum CUDACode {
    static let success: Int32 = 0
    static let outOfMemory: Int32 = 2
    static let noDevice: Int32 = 100
    static let notReady: Int32 = 600
}

/// Flags, with the values of cuda.h.
enum CUDAFlags {
    /// `CU_STREAM_NON_BLOCKING`: copies neither wait for the engine's default stream nor block it.
    static let streamNonBlocking: UInt32 = 1
    /// `CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING`: a waiting thread sleeps, and no time is measured.
    static let event: UInt32 = 1 | 2
    /// `CU_MEMHOSTALLOC_PORTABLE`: pinned for the contexts of all devices.
    static let hostAllocPortable: UInt32 = 1
    /// `CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_READ_ONLY`: pages of a read-only mapping.
    static let hostRegister: UInt32 = 1 | 8
}
