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
        let parts = tensorName.utf8
            .split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
            .map(Substring.init)
        // A number needs a word before it and a part after it.
        guard parts.count >= 3 else { return }
        let candidates = 1..<parts.count - 1
        guard
            let layerIndex = candidates.first(where: { index in
                Self.number(parts[index], after: parts[index - 1], in: Self.layerRules) != nil
            })
        else { return }
        stack = parts[..<layerIndex].joined(separator: ".")
        layer = Self.number(parts[layerIndex], after: parts[layerIndex - 1], in: Self.layerRules)
        for index in candidates where index > layerIndex && expert == nil {
            expert = Self.number(parts[index], after: parts[index - 1], in: Self.expertRules)
        }
    }

    /// The allowed prefixes of a number, by the part before it: `experts.3` and `experts.expert_3` are
    /// `["experts": ["", "expert_"]]`.
    private typealias Rules = [Substring: Set<Substring>]

    private static let layerRules = rules(placeholder: "N")
    private static let expertRules = rules(placeholder: "M")

    private static func rules(placeholder: Character) -> Rules {
        var rules: Rules = [:]
        for family in families {
            let parts = family.pattern.split(separator: ".")
            for (word, part) in zip(parts, parts.dropFirst()) where part.last == placeholder {
                rules[word, default: []].insert(part.dropLast())
            }
        }
        return rules
    }

    private static func number(_ part: Substring, after word: Substring, in rules: Rules) -> Int? {
        for prefix in rules[word] ?? [] where part.hasPrefix(prefix) {
            let digits = part.utf8.dropFirst(prefix.utf8.count)
            let isPlain =
                digits.allSatisfy { $0 &- 0x30 <= 9 }
                && (digits.first != UInt8(ascii: "0") || digits.count == 1)
            // `Int` rejects an empty text and a number that does not fit.
            if isPlain, let number = Int(Substring(digits)) { return number }
        }
        return nil
    }
}
