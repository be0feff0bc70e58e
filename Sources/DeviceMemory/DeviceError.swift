import Glibc

/// Errors of devices. Each case is one that a caller would treat differently.
public enum DeviceError: Error, Equatable, Sendable {
    /// Not the name of a device; the message lists the supported names.
    case unknownName(String)
    /// The CUDA driver's library cannot be opened; `reason` is the dynamic loader's message.
    case driverMissing(path: String, reason: String)
    /// The library lacks the function `symbol`.
    case symbolMissing(symbol: String, path: String)
    /// There are only `count` devices of this kind.
    case noSuchDevice(DeviceName, count: Int)
    /// A device of a kind other than CUDA cannot be used; `reason` contains the cause and the next step.
    case unavailable(DeviceName, reason: String)
    /// The device has too little free memory: other programs, or other parts of this one, use the rest. `free` is without
    /// what a tier with the default budget leaves to them. Sizes in bytes.
    case outOfMemory(DeviceName, requested: Int, free: Int)
    /// An allocation does not fit the arena's budget: evict, then retry. `free` is everything not in use, `largest` the
    /// largest possible allocation. Sizes in bytes.
    case arenaFull(DeviceName, requested: Int, free: Int, largest: Int, budget: Int)
    /// A function of the CUDA driver failed. `name` and `text` are the driver's own for `code`.
    case driver(
        function: String, code: Int32, name: String, text: String, device: DeviceName? = nil, bytes: Int? = nil)
    /// A system call failed; `code` is its `errno`.
    case system(operation: String, code: Int32)
}

extension DeviceError {
    /// Whether memory is missing, which may be there once other memory is released.
    package var isShortage: Bool {
        switch self {
        case .arenaFull, .outOfMemory: true
        default: false
        }
    }
}

extension DeviceError: CustomStringConvertible {
    /// The message: the device or path, the cause, and the next step.
    public var description: String {
        switch self {
        case .unknownName(let name):
            "unknown device \"\(name)\"; supported: ram, gpu, \(DeviceKinds.names)"
        case .driverMissing(let path, let reason):
            "\(path): no CUDA driver: \(reason). Install the NVIDIA driver, set \(CUDALibrary.variable) to the path of its libcuda.so.1, or use the device \"host\"."
        case .symbolMissing(let symbol, let path):
            "\(path): lacks \(symbol). CUDA driver 11.1 or newer is required: update it, or use the device \"host\"."
        case .noSuchDevice(let device, 0) where device.kind == CUDAKind.self:
            "\(device): the driver reports no CUDA device. Check nvidia-smi and CUDA_VISIBLE_DEVICES, or use the device \"host\"."
        case .noSuchDevice(let device, 0):
            "\(device): no such device: this machine has no \(device.kind.name) device."
        case .noSuchDevice(let device, let count):
            "\(device): no such device: the last is \(DeviceName(device.kind, count - 1)).\(device.kind == CUDAKind.self ? " CUDA_VISIBLE_DEVICES may hide others." : "")"
        case .unavailable(let device, let reason):
            "\(device): \(reason)"
        case .outOfMemory(let device, let requested, let free):
            "\(device): out of memory: \(requested) bytes requested, \(free) available on the device. Release leases, free other memory of the device, or stop other programs that use it."
        case .arenaFull(let device, let requested, let free, let largest, let budget):
            "\(device): no space for \(requested) bytes in the budget of \(budget) bytes: \(free) bytes are free, at most \(largest) of them in one block. Release leases, or set a larger budget."
        case .driver(let function, let code, let name, let text, let device, let bytes):
            "\(device.map { "\($0): " } ?? "")\(function): \(name) (\(code)): \(text)\(bytes.map { " (\($0) bytes)" } ?? "")."
        case .system(let operation, let code):
            "\(operation): \(String(cString: strerror(code)))."
        }
    }
}
