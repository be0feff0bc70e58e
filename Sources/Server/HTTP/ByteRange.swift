/// What the field `Range` asks for (RFC 9110, 14.2), as far as it is one range of bytes: several ranges, other units and
/// what is malformed are passed over, as the RFC allows, and the whole is sent.
enum ByteRange: Equatable {
    /// From a place up to and including another, or to the end.
    case from(Int, through: Int?)
    /// The last bytes.
    case last(Int)

    init?(_ field: String) {
        let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].lowercased() == "bytes" else { return nil }
        let ends = parts[1].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard ends.count == 2 else { return nil }
        let numbers = ends.map(Self.number)
        switch (ends[0].isEmpty, ends[1].isEmpty, numbers[0], numbers[1]) {
        case (true, false, _, let count?): self = .last(count)
        case (false, true, let first?, _): self = .from(first, through: nil)
        case (false, false, let first?, let last?) where first <= last: self = .from(first, through: last)
        default: return nil
        }
    }

    /// The bytes of a file with so many, or nil if there are none.
    func range(of bytes: Int) -> Range<Int>? {
        switch self {
        case .from(let first, let last):
            guard first < bytes else { return nil }
            return first..<min(last.map { $0 == .max ? .max : $0 + 1 } ?? bytes, bytes)
        case .last(let count):
            guard count > 0, bytes > 0 else { return nil }
            return max(bytes - count, 0)..<bytes
        }
    }

    /// Digits alone. Numbers that are too large for any file stand for the largest.
    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) else { return nil }
        return Int(text) ?? .max
    }
}
