import Glibc

/// The CUDA driver, opened at run time: the build does not need CUDA, and a machine without a GPU gets a clear error.
///
/// It stays loaded until the process ends, as do the driver's threads.
package struct CUDALibrary: Sendable {
    /// The environment variable with the path of a library other than `libcuda.so.1`.
    package static let variable = "WEIGHTSTORE_CUDA_LIBRARY"

    let functions: CUDAFunctions

    /// The library to open: `given`, otherwise the one named by the environment, otherwise the system's.
    package static func path(_ given: String? = nil) -> String {
        if let given { return given }
        if let named = getenv(variable), named.pointee != 0 { return String(cString: named) }
        return "libcuda.so.1"
    }

    /// Opens the library, resolves its functions and calls `cuInit`.
    ///
    /// - Throws: ``DeviceError/driverMissing(path:reason:)``, ``DeviceError/symbolMissing(symbol:path:)``, or the error
    ///   of `cuInit`. A driver without a device is not an error here.
    package init(_ path: String? = nil) throws(DeviceError) {
        let path = Self.path(path)
        guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
            throw .driverMissing(path: path, reason: dlerror().map { String(cString: $0) } ?? "unknown")
        }
        functions = try CUDAFunctions { symbol throws(DeviceError) in
            guard let address = dlsym(handle, symbol) else { throw .symbolMissing(symbol: symbol, path: path) }
            return address
        }
        let code = functions.cuInit(0)
        if code != CUDACode.noDevice { try check("cuInit", code) }
    }

    /// The number of devices. The corresponding function is `cuDeviceGetCount`.
    package func deviceCount() throws(DeviceError) -> Int {
        var count: Int32 = 0
        let code = functions.cuDeviceGetCount(&count)
        if code == CUDACode.noDevice { return 0 }
        try check("cuDeviceGetCount", code)
        return Int(count)
    }

    /// Model name and memory size of a device. Creates no context, which would use device memory.
    package func properties(of ordinal: Int) throws(DeviceError) -> (model: String, totalBytes: Int) {
        let device = try device(ordinal)
        let name = DeviceName.cuda(ordinal)
        var model = [CChar](repeating: 0, count: 256)
        try check("cuDeviceGetName", functions.cuDeviceGetName(&model, Int32(model.count), device), name)
        var bytes = 0
        try check("cuDeviceTotalMem_v2", functions.cuDeviceTotalMem_v2(&bytes, device), name)
        return (String(decoding: model.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self), bytes)
    }

    /// The driver's handle of a device. The corresponding function is `cuDeviceGet`.
    func device(_ ordinal: Int) throws(DeviceError) -> Int32 {
        let count = try deviceCount()
        guard ordinal < count else { throw .noSuchDevice(.cuda(ordinal), count: count) }
        var device: Int32 = 0
        try check("cuDeviceGet", functions.cuDeviceGet(&device, Int32(ordinal)), .cuda(ordinal))
        return device
    }

    /// Throws every code but success as an error with the driver's own text.
    func check(_ function: String, _ code: Int32, _ device: DeviceName? = nil, bytes: Int? = nil) throws(DeviceError) {
        if code == CUDACode.success { return }
        var name: UnsafePointer<CChar>?
        var text: UnsafePointer<CChar>?
        // Both functions fail for a code that is not in cuda.h, and leave nil.
        _ = functions.cuGetErrorName(code, &name)
        _ = functions.cuGetErrorString(code, &text)
        throw .driver(
            function: function, code: code, name: name.map { String(cString: $0) } ?? "unknown error",
            text: text.map { String(cString: $0) } ?? "no description", device: device, bytes: bytes)
    }
}
