import Synchronization

/// A kind of device: the names of its devices, and how to open one. A new kind consists of one conformance, registered
/// in ``DeviceKinds``, and its ``Device``.
package protocol DeviceKind: SendableMetatype {
    /// The first part of its devices' names: `cuda` in `cuda:1`. No colon, and neither `ram` nor `gpu`: those name
    /// tiers.
    static var name: String { get }

    /// Whether there may be several devices, named `name:0`, `name:1`, …; otherwise the only device is `name`.
    static var isNumbered: Bool { get }

    /// Whether the memory is this process's own: the host can read its addresses, and the kernel provides pages at the
    /// first write. It is not shared with an engine's own use of a device, so its default budget is that of memory.
    static var isHostMemory: Bool { get }

    /// The kind's number in DLPack (`DLDeviceType` in dlpack.h): 1 is ordinary memory, 2 is CUDA.
    static var dlpackType: Int32 { get }

    /// Opens a device.
    ///
    /// - Parameter number: the device's number, from 0; 0 if devices are not numbered.
    static func open(_ number: Int) throws(DeviceError) -> any Device
}

/// The registered kinds of devices.
package enum DeviceKinds {
    private static let kinds = Mutex<[any DeviceKind.Type]>([
        HostKind.self,
        CUDAKind.self,
    ])

    package static var all: [any DeviceKind.Type] { kinds.withLock { $0 } }

    /// Registers a kind at run time. A kind with the same name is replaced.
    package static func register(_ kind: any DeviceKind.Type) {
        kinds.withLock { kinds in
            kinds.removeAll { $0.name == kind.name }
            kinds.append(kind)
        }
    }

    /// The supported device names, as text: `host, cuda:0, cuda:1, …`.
    package static var names: String {
        all.map { $0.isNumbered ? "\($0.name):0, \($0.name):1, …" : $0.name }.joined(separator: ", ")
    }
}
