/// Errors of KV compression. All of them are about the input: once it is accepted, nothing fails.
public enum KVError: Error, Equatable, Sendable {
    /// A size of a shape is negative, or a tensor of that shape has more bytes than an address can represent.
    case badShape(KVShape)
    /// A sequence is longer than 2^31 - 1 positions, the limit of a position index.
    case sequenceTooLong(Int)
    /// The view exceeds its bytes: it covers elements `first` to `last`, counted from their start, of `count`.
    case outOfBounds(first: Int, last: Int, count: Int)
    /// Two tensors that belong together do not fit: keys and values, or attention scores and keys.
    case shapeMismatch(String, KVShape, KVShape)
    /// The method ranks positions by attention scores, and the layer has none.
    case attentionMissing(method: String)
    /// A parameter of a method is out of range; `requirement` states the range.
    case badParameter(method: String, name: String, value: Int, requirement: String)
    /// The number of stored bytes is not the one that their layout requires.
    case badLength(expected: Int, found: Int)
}

extension KVError: CustomStringConvertible {
    /// The message: the value and the requirement.
    public var description: String {
        switch self {
        case .badShape(let shape):
            "\(shape): not a tensor's shape. Sizes must be 0 or more, and 4 times their product less than 2^63."
        case .sequenceTooLong(let length):
            "\(length) positions: a sequence must have at most \(Int32.max). Split it."
        case .outOfBounds(let first, let last, let count):
            "The view covers elements \(first) to \(last) of a buffer of \(count) elements. Check its strides and its offset; both count elements."
        case .shapeMismatch(let what, let expected, let found):
            "\(what): shape \(found), expected \(expected)."
        case .attentionMissing(let method):
            "\(method): requires attention scores [batch, query heads, queries, sequence]. Pass them with the layer, or use Window or Sinks, which need none."
        case .badParameter(let method, let name, let value, let requirement):
            "\(method): \(name) is \(value); \(requirement)."
        case .badLength(let expected, let found):
            "\(found) bytes, expected \(expected): not a quantized tensor of this layout."
        }
    }
}
