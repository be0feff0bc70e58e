import Support

/// The fields of a query, or of a form.
package struct Query: Sendable, Equatable {
    private let fields: [(name: String, value: String)]

    package static func == (left: Query, right: Query) -> Bool { ByteText(left.text) == ByteText(right.text) }

    private init(_ fields: [(name: String, value: String)]) { self.fields = fields }

    /// Parses a query. Malformed fields are omitted.
    package init(_ text: some StringProtocol) {
        fields = text.byteParts("&").compactMap { field in
            let parts = field.byteParts("=", maxSplits: 1)
            guard !field.isEmpty, let name = PercentEncoding.decode(parts[0], plusIsSpace: true),
                let value = parts.count == 2 ? PercentEncoding.decode(parts[1], plusIsSpace: true) : ""
            else { return nil }
            return (name, value)
        }
    }

    package subscript(_ name: String) -> String? { fields.first { ByteText($0.name) == ByteText(name) }?.value }

    package func all(_ name: String) -> [String] {
        fields.filter { ByteText($0.name) == ByteText(name) }.map(\.value)
    }

    /// Whether a field is `true`, in any case (Python writes `True`), or `1`.
    package func isSet(_ name: String) -> Bool { ["true", "1"].contains(self[name]?.lowercased()) }

    /// The query with one field set to another value.
    package func with(_ name: String, _ value: String) -> Query {
        Query(fields.filter { ByteText($0.name) != ByteText(name) } + [(name, value)])
    }

    package var text: String {
        fields.map {
            "\(PercentEncoding.encode($0.name, keepingSlashes: true))=\(PercentEncoding.encode($0.value, keepingSlashes: true))"
        }.joined(separator: "&")
    }
}
