/// Which memory: `host`, `cuda:0`, `cuda:1`, …
///
/// A device is always named by its user. Nothing falls back from one to another: a model that was asked to be on a GPU
/// and quietly went to RAM would only be found out by its speed.
public struct DeviceName: Sendable {
    package let kind: any DeviceKind.Type
    /// Which of the devices of its kind, from 0; 0 where they are not numbered.
    public let number: Int

    package init(_ kind: any DeviceKind.Type, _ number: Int = 0) {
        self.kind = kind
        self.number = number
    }

    /// Ordinary memory, for tests and for machines without a GPU.
    public static let host = DeviceName(HostKind.self)

    /// A CUDA device, by its number among those that `CUDA_VISIBLE_DEVICES` leaves visible.
    public static func cuda(_ number: Int) -> DeviceName { DeviceName(CUDAKind.self, number) }

    /// - Throws: ``DeviceError/unknownName(_:)``.
    public init(_ name: String) throws(DeviceError) {
        let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let kind = DeviceKinds.all.first(where: { $0.name == parts[0] }) else { throw .unknownName(name) }
        self.init(kind, parts.count == 2 ? Int(parts[1]) ?? 0 : 0)
        // The one spelling of each name: neither cuda:01 nor host:0.
        guard number >= 0, description == name else { throw .unknownName(name) }
    }

    /// Makes the device ready.
    package func open() throws(DeviceError) -> any Device { try kind.open(number) }
}

// Kinds are compared by identity: a lease on a resident shard compares tiers, and must not look into strings.
extension DeviceName: Hashable {
    public static func == (left: DeviceName, right: DeviceName) -> Bool {
        left.kind == right.kind && left.number == right.number
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(kind))
        hasher.combine(number)
    }
}

extension DeviceName: CustomStringConvertible {
    public var description: String { kind.isNumbered ? "\(kind.name):\(number)" : kind.name }
}
