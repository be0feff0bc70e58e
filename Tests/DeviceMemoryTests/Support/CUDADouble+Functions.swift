import TestSupport

@testable import DeviceMemory

extension CUDADouble {
    /// The driver's functions that the module calls.
    static func functions() throws -> [String] {
        let double = try CUDADouble()
        let functions = try CUDALibrary(double.path).functions
        return Mirror(reflecting: functions).children.compactMap(\.label)
    }
}
