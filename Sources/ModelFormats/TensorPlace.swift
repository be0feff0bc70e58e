/// The layer of a model, and the expert of that layer, to which a tensor belongs according to its name.
///
/// A name consists of parts separated by dots. The layer is the *first* part that is a number, follows a word such as
/// `layers`, `h` or `blk`, and is not the last part. So the outermost number counts: Swin's
/// `encoder.layers.1.blocks.0.mlp.fc1` is in layer 1 of `encoder.layers`. The expert is the first number after the
/// layer that follows `experts` or a similar word. The words are those of `families`. The parts before them are
/// ignored, so a model nested in another (`language_model.model.layers.3…`) is recognized, too.
///
/// A number is decimal digits that fit an `Int`, without sign and without leading zeros. A name without a layer
/// (embedding, head, final norm) leaves all properties nil.
public struct TensorPlace: Sendable, Hashable {
    /// The path before the layer's number: `model.layers`. It distinguishes layer 3 of a vision tower from layer 3 of
    /// the language model.
    public var stack: String?

    /// The layer's number within its stack.
    public var layer: Int?

    /// The expert's number, for a tensor of one expert of a mixture-of-experts layer. Nil for a tensor that
    /// contains all experts of a layer, as in most GGUF files.
    public var expert: Int?

    /// Parses the name of a tensor.
    public init(tensorName: String) {
        var name = tensorName
        name.withUTF8 { bytes in
            var word: Name?
            var start = 0
            // The last part has no dot behind it, and is no number.
            while let end = bytes[start...].firstIndex(of: UInt8(ascii: ".")) {
                let part = bytes[start..<end]
                if let word, layer == nil {
                    layer = Self.number(part, after: word, in: Self.layerRules)
                    if layer != nil { stack = String(decoding: bytes[..<word.endIndex], as: UTF8.self) }
                } else if let word {
                    expert = Self.number(part, after: word, in: Self.expertRules)
                    if expert != nil { return }
                }
                word = part
                start = end + 1
            }
        }
    }

    /// A part of a name.
    private typealias Name = Slice<UnsafeBufferPointer<UInt8>>

    /// The allowed prefixes of a number behind a word: `experts.3` and `experts.expert_3` are the word `experts` with
    /// the prefixes "" and `expert_`.
    private struct Rule {
        let word: [UInt8]
        var prefixes: [[UInt8]]
    }

    private static let layerRules = rules(placeholder: "N")
    private static let expertRules = rules(placeholder: "M")

    private static func rules(placeholder: Character) -> [Rule] {
        var rules: [Rule] = []
        for family in families {
            let parts = family.pattern.split(separator: ".")
            for (word, part) in zip(parts, parts.dropFirst()) where part.last == placeholder {
                let (word, prefix) = (Array(word.utf8), Array(part.dropLast().utf8))
                if let known = rules.firstIndex(where: { $0.word == word }) {
                    if !rules[known].prefixes.contains(prefix) { rules[known].prefixes.append(prefix) }
                } else {
                    rules.append(Rule(word: word, prefixes: [prefix]))
                }
            }
        }
        return rules
    }

    private static func number(_ part: Name, after word: Name, in rules: [Rule]) -> Int? {
        // Most parts are no numbers.
        guard let last = part.last, isDigit(last), let rule = rules.first(where: { word.elementsEqual($0.word) }) else {
            return nil
        }
        for prefix in rule.prefixes where part.starts(with: prefix) {
            if let number = number(part.dropFirst(prefix.count)) { return number }
        }
        return nil
    }

    /// The value of plain decimal digits; nil for other bytes, a leading zero, and a number that does not fit.
    private static func number(_ digits: Name) -> Int? {
        guard let first = digits.first, first != UInt8(ascii: "0") || digits.count == 1 else { return nil }
        var number = 0
        for digit in digits {
            let (tens, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(Int(digit) - 0x30)
            guard isDigit(digit), !overflow, !carry else { return nil }
            number = sum
        }
        return number
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 <= 9 }
}
