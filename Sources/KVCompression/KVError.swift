/// What can go wrong with keys and values. Every case is about what the caller gave; once the input is accepted,
/// nothing fails.
public enum KVError: Error, Equatable, Sendable {
    /// A size of a shape is negative, or a tensor of that shape has more bytes than an address can name.
    case badShape(KVShape)
    /// A sequence is longer than 2^31 - 1 positions, which is the most that a position index can name.
    case sequenceTooLong(Int)
    /// The view reaches outside its bytes: elements `first` to `last`, counted from its start, of `count`.
    case outOfBounds(first: Int, last: Int, count: Int)
    /// Two tensors that belong together don't fit: keys and values, or attention scores and keys.
    case shapeMismatch(String, KVShape, KVShape)
    /// The method ranks positions by attention scores, and the engine gave none.
    case attentionMissing(method: String)
    /// A parameter of a method is out of its range.
    case badParameter(method: String, name: String, value: Int, need: String)
    /// Stored bytes are not as long as what they should hold.
    case badLength(expected: Int, found: Int)
}

extension KVError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .badShape(let shape):
            "\(shape): not the shape of a tensor. Sizes are 0 or more, and all bytes together fit an address."
        case .sequenceTooLong(let length):
            "\(length) positions: a sequence has at most \(Int32.max). Split it."
        case .outOfBounds(let first, let last, let count):
            "The view names elements \(first) to \(last) of a buffer of \(count). Check its strides, which count elements, and its offset."
        case .shapeMismatch(let what, let expected, let found):
            "\(what): \(found) does not fit \(expected)."
        case .attentionMissing(let method):
            "\(method): needs attention scores [batch, query heads, queries, sequence]. Give them with the layer, or use window or sinks."
        case .badParameter(let method, let name, let value, let need):
            "\(method): \(name) is \(value); \(need)."
        case .badLength(let expected, let found):
            "\(found) bytes, expected \(expected): not a quantised tensor of this layout."
        }
    }
}
