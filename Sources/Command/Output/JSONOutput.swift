import Foundation
import WeightStore

/// JSON as the tool prints it: keys sorted. An object has the schema's number beside its own properties; a list has its
/// elements alone.
enum JSONOutput {
    /// - Parameter isLine: whether the JSON is one line.
    static func text(_ value: some Encodable, isLine: Bool = false) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if !isLine { encoder.outputFormatting.insert(.prettyPrinted) }
        let isList = value is any Collection
        let bytes = try isList ? encoder.encode(value) : encoder.encode(Object(value: value))
        return String(decoding: bytes, as: UTF8.self) + "\n"
    }

    private struct Object<Value: Encodable>: Encodable {
        let value: Value

        enum Key: String, CodingKey { case schema }

        func encode(to encoder: any Encoder) throws {
            try value.encode(to: encoder)
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(Presentation.schema, forKey: .schema)
        }
    }
}
