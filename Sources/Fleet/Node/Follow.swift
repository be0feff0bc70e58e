import Support
import WeightStore

/// A ref of a model that a node follows, or all refs of the model.
public struct Follow: Codable, Sendable, Hashable, CustomStringConvertible {
    /// The model's name.
    public let model: String
    /// nil for all refs.
    public let ref: String?

    /// Parses a model with or without a ref.
    ///
    /// - Parameter text: `org/name`, or `org/name@ref`.
    /// - Throws: if a name is not valid.
    public init(_ text: String) throws {
        let parts = text.byteParts("@", maxSplits: 1)
        model = try ModelName.check(parts[0])
        ref = try parts.count == 2 ? RefName.checkStored(parts[1]) : nil
    }

    /// The text that ``init(_:)`` parses.
    public var description: String { ref.map { "\(model)@\($0)" } ?? model }

    /// Decodes the text that ``init(_:)`` parses.
    public init(from decoder: any Decoder) throws {
        try self.init(try decoder.singleValueContainer().decode(String.self))
    }

    /// Encodes the text that ``init(_:)`` parses.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension ModelVersions {
    /// The followed refs, and the versions that they name.
    func targets(_ follows: [Follow]) -> [String: Version] {
        var targets: [String: Version] = [:]
        for (name, ref) in refs
        where follows.contains(where: { $0.model == model && ($0.ref == nil || $0.ref == name) }) {
            targets[name] = version(ref.version)
        }
        return targets
    }
}
