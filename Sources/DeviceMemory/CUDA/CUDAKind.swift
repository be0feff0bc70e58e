/// CUDA devices, numbered among those that `CUDA_VISIBLE_DEVICES` leaves visible.
package enum CUDAKind: DeviceKind {
    package static let name = "cuda"
    package static let isNumbered = true
    package static let isHostMemory = false
    package static let dlpackType: Int32 = 2

    package static func open(_ number: Int) throws(DeviceError) -> any Device { try open(number, library: nil) }

    /// - Parameter library: the driver's library, where it is not the one of ``CUDALibrary/path(_:)``.
    package static func open(_ number: Int, library: String?) throws(DeviceError) -> any Device {
        try CUDADevice(number, CUDALibrary(library))
    }
}
