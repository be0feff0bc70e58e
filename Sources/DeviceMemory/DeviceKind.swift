import Synchronization

/// A kind of device: how its devices are named, and how one is opened. One conformance, entered in ``DeviceKinds``, is
/// all that a new kind needs beside its ``Device``.
package protocol DeviceKind: SendableMetatype {
    /// What the names of its devices begin with: `cuda` of `cuda:1`. Without a colon; `ram` and `gpu` name tiers.
    static var name: String { get }

    /// Whether there may be several: their names are then `name:0`, `name:1`, …; otherwise the one device is `name`.
    static var isNumbered: Bool { get }

    /// Whether its memory is this process's own: addresses can be read here, and the kernel provides it at the first
    /// write. Otherwise a tier allocates its whole budget when it is opened.
    static var isHostMemory: Bool { get }

    /// The number of the kind in DLPack (`DLDeviceType` in dlpack.h): 1 is ordinary memory, 2 is CUDA.
    static var dlpackType: Int32 { get }

    /// Makes a device ready.
    ///
    /// - Parameter number: of the device, from 0; 0 where they are not numbered.
    static func open(_ number: Int) throws(DeviceError) -> any Device
}

/// The list of the kinds of devices.
package enum DeviceKinds {
    private static let kinds = Mutex<[any DeviceKind.Type]>([
        HostKind.self,
        CUDAKind.self,
    ])

    package static var all: [any DeviceKind.Type] { kinds.withLock { $0 } }

    /// Adds a kind at run time. One with the same name is replaced.
    package static func register(_ kind: any DeviceKind.Type) {
        kinds.withLock { kinds in
            kinds.removeAll { $0.name == kind.name }
            kinds.append(kind)
        }
    }

    /// How devices can be named: `host, cuda:0, cuda:1, …`.
    package static var names: String {
        all.map { $0.isNumbered ? "\($0.name):0, \($0.name):1, …" : $0.name }.joined(separator: ", ")
    }
}
