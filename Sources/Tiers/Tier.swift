import DeviceMemory

/// A memory tier: RAM, or the memory of a device.
public enum Tier: Hashable, Sendable {
    /// Mapped blobs in RAM.
    case ram
    /// The memory of a device.
    case device(DeviceName)

    /// The device that uses ordinary memory in place of a GPU's: for tests, and for machines without a GPU.
    public static let host = Tier.device(.host)
    /// The first CUDA device.
    public static let gpu = Tier.device(.cuda(0))

    /// Parses the name of a tier.
    ///
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
    /// The name of the tier: `ram`, `host`, `cuda:0`.
    public var description: String {
        switch self {
        case .ram: "ram"
        case .device(let name): "\(name)"
        }
    }

    /// Encodes the name.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// The current contents of a tier, and its totals since it was opened.
public struct TierGauge: Sendable, Encodable {
    /// The tier.
    public let tier: Tier
    /// The budget, in bytes.
    public let budget: Int
    /// The bytes of the resident shards.
    public let bytes: Int
    /// The bytes of the loading shards.
    public let loading: Int
    /// The number of resident shards.
    public internal(set) var shards = 0
    /// The bytes of the leased shards.
    public internal(set) var leased = 0
    /// The leases on shards that were resident.
    public internal(set) var hits = 0
    /// The leases on shards that had to be loaded.
    public internal(set) var misses = 0
    /// The bytes loaded.
    public internal(set) var loaded = 0
    /// The number of evicted shards.
    public internal(set) var evictions = 0
    /// The number of failed loads.
    public internal(set) var failures = 0
    /// The name of the eviction policy in use.
    public internal(set) var policy = ""
}
