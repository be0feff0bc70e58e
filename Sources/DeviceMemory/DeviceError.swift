import Glibc

/// What can go wrong with a device. Each case is one that a caller would treat differently.
public enum DeviceError: Error, Equatable, Sendable {
    /// The name of no device; the message lists how devices are named.
    case unknownName(String)
    /// The CUDA driver's library can't be opened; `reason` is the loader's.
    case driverMissing(path: String, reason: String)
    /// The library lacks a function.
    case symbolMissing(symbol: String, path: String)
    /// There are only `count` devices of this kind.
    case noSuchDevice(DeviceName, count: Int)
    /// A device of another kind than CUDA can't be used; `reason` says why, and what to do.
    case unavailable(DeviceName, reason: String)
    /// The device has no room: other programs, or other parts of this one, hold the rest. Sizes in bytes.
    case outOfMemory(DeviceName, asked: Int, free: Int)
    /// An arena has no room within its budget: evict, then ask again. `free` is all that is not in use, `largest`
    /// the most that one allocation can get. Sizes in bytes.
    case arenaFull(DeviceName, asked: Int, free: Int, largest: Int, budget: Int)
    /// A function of the CUDA driver failed. `name` and `text` are the driver's own for `code`.
    case driver(
        function: String, code: Int32, name: String, text: String, device: DeviceName? = nil, bytes: Int? = nil)
    /// A system call failed; `code` is its `errno`.
    case system(operation: String, code: Int32)
}

extension DeviceError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unknownName(let name):
            "unknown device \"\(name)\"; supported: \(DeviceKinds.names)"
        case .driverMissing(let path, let reason):
            "\(path): no CUDA driver: \(reason). Install the NVIDIA driver, name its libcuda.so.1 in \(CUDALibrary.variable), or use the device \"host\"."
        case .symbolMissing(let symbol, let path):
            "\(path): has no \(symbol). A CUDA driver of version 11.1 or newer is needed; update it, or use the device \"host\"."
        case .noSuchDevice(let device, 0) where device.kind == CUDAKind.self:
            "\(device): the driver sees no CUDA device. Look at nvidia-smi and at CUDA_VISIBLE_DEVICES, or use the device \"host\"."
        case .noSuchDevice(let device, 0):
            "\(device): no such device: there is no \(device.kind.name) device."
        case .noSuchDevice(let device, let count):
            "\(device): no such device: the last is \(DeviceName(device.kind, count - 1)).\(device.kind == CUDAKind.self ? " CUDA_VISIBLE_DEVICES may hide others." : "")"
        case .unavailable(let device, let reason):
            "\(device): \(reason)"
        case .outOfMemory(let device, let asked, let free):
            "\(device): out of memory: \(asked) bytes asked, \(free) free on the device. Other users of it hold the rest; stop them, or give a smaller budget."
        case .arenaFull(let device, let asked, let free, let largest, let budget):
            "\(device): the budget of \(budget) bytes is used up: \(asked) bytes asked, \(free) free, the largest piece \(largest). Let go of leases, or give a larger budget."
        case .driver(let function, let code, let name, let text, let device, let bytes):
            "\(device.map { "\($0): " } ?? "")\(function): \(name) (\(code)): \(text)\(bytes.map { " (\($0) bytes)" } ?? "")."
        case .system(let operation, let code):
            "\(operation): \(String(cString: strerror(code)))."
        }
    }
}
