/// The name of a device: `host`, `cuda:0`, `cuda:1`, …
///
/// The user always names the device, and nothing falls back to another one: if a model meant for a GPU silently used
/// RAM, only its speed would show it.
public struct DeviceName: Sendable {
    package let kind: any DeviceKind.Type
    /// The device's number within its kind, from 0; 0 if devices are not numbered.
    public let number: Int

    package init(_ kind: any DeviceKind.Type, _ number: Int = 0) {
        self.kind = kind
        self.number = number
    }

    /// Ordinary memory, for tests and for machines without a GPU.
    public static let host = DeviceName(HostKind.self)

    /// A CUDA device, by its number among those that `CUDA_VISIBLE_DEVICES` leaves visible.
    public static func cuda(_ number: Int) -> DeviceName { DeviceName(CUDAKind.self, number) }

    /// Parses a name such as `host` or `cuda:1`.
    ///
    /// - Throws: ``DeviceError/unknownName(_:)``.
    public init(_ name: String) throws(DeviceError) {
        let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let kind = DeviceKinds.all.first(where: { $0.name == parts[0] }) else { throw .unknownName(name) }
        self.init(kind, parts.count == 2 ? Int(parts[1]) ?? 0 : 0)
        // Each name has one spelling: cuda:01 and host:0 are rejected.
        guard number >= 0, description == name else { throw .unknownName(name) }
    }

    /// Opens the device.
    package func open() throws(DeviceError) -> any Device { try kind.open(number) }
}

// Kinds are compared by identity: a lease on a resident shard compares tiers, and must not compare strings.
extension DeviceName: Hashable {
    /// Whether both are the same device.
    public static func == (left: DeviceName, right: DeviceName) -> Bool {
        left.kind == right.kind && left.number == right.number
    }

    /// Hashes kind and number.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(kind))
        hasher.combine(number)
    }
}

extension DeviceName: CustomStringConvertible {
    /// The name, as ``init(_:)`` parses it.
    public var description: String { kind.isNumbered ? "\(kind.name):\(number)" : kind.name }
}
