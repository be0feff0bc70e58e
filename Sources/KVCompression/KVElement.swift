/// The type of an element of keys, values or attention scores. Little-endian, like all supported machines.
public enum KVElement: UInt8, Sendable, CaseIterable {
    /// IEEE 754 binary32.
    case float32
    /// IEEE 754 binary16: 5 bits of exponent, greatest finite value 65504.
    case float16
    /// The upper half of a binary32: 8 bits of exponent, 7 of fraction.
    case bfloat16

    /// Bytes of one element.
    public var bytes: Int { self == .float32 ? 4 : 2 }

    /// The greatest finite value.
    public var greatest: Float {
        switch self {
        case .float32: .greatestFiniteMagnitude
        case .float16: 65504
        case .bfloat16: Float(bitPattern: 0x7F7F_0000)
        }
    }

    /// The distance between a value of magnitude `value` and the next one that the type can represent: the unit of
    /// rounding.
    public func ulp(_ value: Float) -> Float {
        switch self {
        case .float32: value.ulp
        case .float16: max(value.ulp * 0x1p13, 0x1p-24)
        case .bfloat16: max(value.ulp * 0x1p16, 0x1p-133)
        }
    }
}
