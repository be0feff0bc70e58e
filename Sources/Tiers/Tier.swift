import DeviceMemory

/// A place that is faster than the disk: RAM, or the memory of a device.
public enum Tier: Hashable, Sendable {
    case ram
    case device(DeviceName)

    /// The device that does in ordinary memory what a GPU does in its own: for tests, and for machines without a GPU.
    public static let host = Tier.device(.host)
    /// The first CUDA device.
    public static let gpu = Tier.device(.cuda(0))

    /// - Parameter text: `ram`, `host`, `gpu` (the first CUDA device), `cuda:1`.
    /// - Throws: ``DeviceError/unknownName(_:)``.
    public init(_ text: String) throws(DeviceError) {
        switch text {
        case "ram": self = .ram
        case "gpu": self = .gpu
        default: self = .device(try DeviceName(text))
        }
    }
}

extension Tier: CustomStringConvertible, Encodable {
    public var description: String {
        switch self {
        case .ram: "ram"
        case .device(let name): "\(name)"
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// How full a tier is, and what it did since it was opened.
public struct TierGauge: Sendable, Encodable {
    public let tier: Tier
    /// Bytes at most.
    public let budget: Int
    /// Bytes of the shards that are there.
    public let bytes: Int
    /// Bytes of the shards that are under way.
    public let loading: Int
    /// Shards that are there.
    public internal(set) var shards = 0
    /// Bytes of the shards that leases hold.
    public internal(set) var leased = 0
    /// Leases on shards that were there already.
    public internal(set) var hits = 0
    /// Leases on shards that had to be brought in first.
    public internal(set) var misses = 0
    /// Bytes brought in.
    public internal(set) var loaded = 0
    public internal(set) var evictions = 0
    public internal(set) var failures = 0
    /// The policy by which shards go.
    public internal(set) var policy = ""
}
