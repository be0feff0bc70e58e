import Support

/// The field `Range` (RFC 9110, 14.2) with one range of bytes. Several ranges, other units and malformed fields are
/// ignored, as the RFC allows: the whole is sent.
package enum ByteRange: Equatable {
    /// From an offset through another, inclusive, or to the end.
    case from(Int, through: Int?)
    /// This many bytes at the end.
    case last(Int)

    package init?(_ field: String) {
        let parts = field.byteParts("=", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bytes" else { return nil }
        let ends = parts[1].byteParts("-", maxSplits: 1)
        guard ends.count == 2 else { return nil }
        let numbers = ends.map(Self.number)
        switch (ends[0].isEmpty, ends[1].isEmpty, numbers[0], numbers[1]) {
        case (true, false, _, let count?): self = .last(count)
        case (false, true, let first?, _): self = .from(first, through: nil)
        case (false, false, let first?, let last?) where first <= last: self = .from(first, through: last)
        default: return nil
        }
    }

    /// The range in a file of this size; nil if it selects no bytes.
    package func range(of bytes: Int) -> Range<Int>? {
        switch self {
        case .from(let first, let last):
            guard first < bytes else { return nil }
            return first..<min(last.map { $0 == .max ? .max : $0 + 1 } ?? bytes, bytes)
        case .last(let count):
            guard count > 0, bytes > 0 else { return nil }
            return bytes - min(count, bytes)..<bytes
        }
    }

    /// A number of digits only. One that overflows becomes the largest number.
    private static func number(_ text: String) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) else { return nil }
        return Int(decimal: text) ?? .max
    }
}
