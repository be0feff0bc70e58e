/// CUDA devices, numbered among those that `CUDA_VISIBLE_DEVICES` leaves visible.
package enum CUDAKind: DeviceKind {
    package static let name = "cuda"
    package static let isNumbered = true
    package static let isHostMemory = false
    package static let dlpackType: Int32 = 2

    package static func open(_ number: Int) throws(DeviceError) -> any Device { try open(number, library: nil) }

    /// Opens a CUDA device.
    ///
    /// - Parameter library: path of the driver's library; nil for ``CUDALibrary/path(_:)``.
    package static func open(_ number: Int, library: String?) throws(DeviceError) -> any Device {
        try CUDADevice(number, CUDALibrary(library))
    }
}
