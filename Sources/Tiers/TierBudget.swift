import DeviceMemory
import Glibc
import Storage
import Support

/// The size limit of a tier as a user writes it: `8G` is decimal, `8GiB` binary, and `50%` a share of the memory.
public struct TierBudget: Sendable, Equatable {
    private enum Value: Equatable {
        case bytes(Int)
        case share(Double)
    }

    private let value: Value

    /// Parses a limit, which may be 0.
    ///
    /// - Returns: nil for any other text.
    package static func parse(_ text: String) -> TierBudget? {
        if text.hasByteSuffix("%") {
            return Quantity.parseShare(text).map { TierBudget(value: .share($0)) }
        }
        return Quantity.parseBytes(text).map { TierBudget(value: .bytes($0)) }
    }

    private init(value: Value) { self.value = value }

    /// Parses a limit.
    ///
    /// - Parameters:
    ///   - text: a number of bytes of at least 1, with or without a unit (`8G`, `8GiB`), or a share above 0% and up to
    ///     100%.
    ///   - what: the subject of the error.
    /// - Throws: ``StorageError/invalid(what:value:reason:)``.
    public init(_ text: String, what: String = "budget") throws(StorageError) {
        guard let parsed = Self.parse(text), !parsed.isZero else {
            throw .invalid(
                what: what, value: text,
                reason: "must be a size of at least 1 byte, such as 8G or 8GiB, or a share above 0% and up to 100%")
        }
        self = parsed
    }

    package var isZero: Bool { value == .bytes(0) }

    /// The limit in bytes. A share counts of the memory that is available to the process now, within the limits of its
    /// container; for a GPU, of all of its memory.
    ///
    /// - Throws: ``DeviceError`` if the device cannot be opened.
    public func bytes(in tier: Tier) throws(DeviceError) -> Int {
        switch value {
        case .bytes(let bytes): return bytes
        case .share(let share):
            let name = if case .device(let name) = tier { name } else { DeviceName.host }
            let memory = try name.open().memory()
            return max(Int(saturating: share * Double(name.kind.isHostMemory ? memory.free : memory.total)), 1)
        }
    }

    /// The environment variable with the limit of a tier that is opened without one: `WEIGHTSTORE_RAM_BUDGET`,
    /// `WEIGHTSTORE_HOST_BUDGET`, or `WEIGHTSTORE_GPU_BUDGET` for each GPU.
    public static func variable(for tier: Tier) -> String {
        switch tier {
        case .ram: "WEIGHTSTORE_RAM_BUDGET"
        case .device(let name): name.kind.isHostMemory ? "WEIGHTSTORE_HOST_BUDGET" : "WEIGHTSTORE_GPU_BUDGET"
        }
    }

    /// The limit in the environment, in bytes; nil if the variable is not set, or empty.
    static func ofEnvironment(for tier: Tier) throws -> Int? {
        let name = variable(for: tier)
        guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
        return try TierBudget(value, what: name).bytes(in: tier)
    }
}
