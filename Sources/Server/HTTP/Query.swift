import WeightStore

/// The fields of a query, or of a form.
struct Query: Sendable, Equatable {
    private let fields: [(name: String, value: String)]

    static func == (left: Query, right: Query) -> Bool { left.text == right.text }

    private init(_ fields: [(name: String, value: String)]) { self.fields = fields }

    /// Parses a query. Malformed fields are omitted.
    init(_ text: some StringProtocol) {
        fields = text.split(separator: "&").compactMap { field in
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentEncoding.decode(parts[0], plusIsSpace: true),
                let value = parts.count == 2 ? PercentEncoding.decode(parts[1], plusIsSpace: true) : ""
            else { return nil }
            return (name, value)
        }
    }

    subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    func all(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

    /// Whether a field is `true`, in any case (Python writes `True`), or `1`.
    func isSet(_ name: String) -> Bool { ["true", "1"].contains(self[name]?.lowercased()) }

    /// The query with one field set to another value.
    func with(_ name: String, _ value: String) -> Query {
        Query(fields.filter { $0.name != name } + [(name, value)])
    }

    var text: String {
        fields.map {
            "\(PercentEncoding.encode($0.name, keepingSlashes: true))=\(PercentEncoding.encode($0.value, keepingSlashes: true))"
        }.joined(separator: "&")
    }
}
