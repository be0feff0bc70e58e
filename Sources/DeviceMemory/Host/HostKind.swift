/// Ordinary memory, for tests and for machines without a GPU.
package enum HostKind: DeviceKind {
    package static let name = "host"
    package static let isNumbered = false
    package static let isHostMemory = true
    package static let dlpackType: Int32 = 1

    package static func open(_ number: Int) -> any Device { HostDevice() }
}
