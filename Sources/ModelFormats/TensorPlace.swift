/// Which layer of a model, and which expert of that layer, a tensor belongs to, judged by its name.
///
/// A name is read as parts between dots. The layer is the *first* part that is a number, follows a
/// word such as `layers`, `h` or `blk`, and has another part behind it. So nested numbers belong to
/// the outer one: Swin's `encoder.layers.1.blocks.0.mlp.fc1` is in layer 1 of `encoder.layers`. The
/// expert is the first number behind the layer that follows `experts` or its like. The words are
/// those of `families`; what stands before them does not matter, so a model that is wrapped in
/// another (`language_model.model.layers.3…`) is read as well.
///
/// A number is decimal digits that fit an `Int`, without sign and without leading zeros; any other
/// part is not a number. A name without a layer (embedding, head, final norm) has no place at all.
public struct TensorPlace: Sendable, Hashable {
    /// The path up to the layer's number, without it: `model.layers`. Layer 3 of a vision tower and
    /// layer 3 of the language model differ in it.
    public var stack: String?

    /// The layer's number within its stack.
    public var layer: Int?

    /// The expert's number, for a tensor of one expert of a mixture-of-experts layer. Nil for
    /// tensors that hold all experts of a layer, as most GGUF files have them.
    public var expert: Int?

    public init(tensorName: String) {
        let parts = tensorName.utf8
            .split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
            .map(Substring.init)
        // A number needs a word before it and a part behind it.
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

    /// What a number's own part may begin with, by the part before it: `experts.3` and
    /// `experts.expert_3` are `["experts": ["", "expert_"]]`.
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
            // Int refuses an empty text and a number that does not fit.
            if isPlain, let number = Int(Substring(digits)) { return number }
        }
        return nil
    }
}
