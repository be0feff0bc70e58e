import WeightStore

/// What a node is to have: the version that a ref of a model names, or those of all its refs.
public struct Follow: Codable, Sendable, Hashable, CustomStringConvertible {
    public let model: String
    /// nil means all.
    public let ref: String?

    /// - Parameter text: `org/name`, or `org/name@ref`.
    public init(_ text: String) throws {
        let parts = text.split(separator: "@", maxSplits: 1).map(String.init)
        model = try ModelName.check(parts.first ?? text)
        ref = try parts.count == 2 ? RefName.check(parts[1]) : nil
    }

    public var description: String { ref.map { "\(model)@\($0)" } ?? model }

    public init(from decoder: any Decoder) throws {
        try self.init(try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension ModelVersions {
    /// The refs that are followed, and the versions they name.
    func targets(_ follows: [Follow]) -> [String: Version] {
        var targets: [String: Version] = [:]
        for (name, ref) in refs
        where follows.contains(where: { $0.model == model && ($0.ref == nil || $0.ref == name) }) {
            targets[name] = version(ref.version)
        }
        return targets
    }
}
