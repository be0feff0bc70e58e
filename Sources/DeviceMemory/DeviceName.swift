/// Which memory: `host`, `cuda:0`, `cuda:1`, …
///
/// A device is always named by its user. Nothing falls back from one to another: a model that was asked to be on a GPU
/// and quietly went to RAM would only be found out by its speed.
public enum DeviceName: Hashable, Sendable {
    /// Ordinary memory, for tests and for machines without a GPU.
    case host
    /// A CUDA device, by its number among those that `CUDA_VISIBLE_DEVICES` leaves visible.
    case cuda(Int)

    /// - Throws: ``DeviceError/unknownName(_:)``.
    public init(_ name: String) throws(DeviceError) {
        if name == "host" {
            self = .host
            return
        }
        guard name.hasPrefix("cuda:"), let ordinal = Int(name.dropFirst(5)), ordinal >= 0, name == "cuda:\(ordinal)" else {
            throw .unknownName(name)
        }
        self = .cuda(ordinal)
    }

    /// Makes the device ready.
    ///
    /// - Parameter cudaLibrary: the driver's library, where it is not the one of ``CUDALibrary/path(_:)``.
    package func open(cudaLibrary: String? = nil) throws(DeviceError) -> any Device {
        switch self {
        case .host: HostDevice()
        case .cuda(let ordinal): try CUDADevice(ordinal, CUDALibrary(cudaLibrary))
        }
    }
}

extension DeviceName: CustomStringConvertible {
    public var description: String {
        switch self {
        case .host: "host"
        case .cuda(let ordinal): "cuda:\(ordinal)"
        }
    }
}
