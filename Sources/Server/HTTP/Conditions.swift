import HTTPTypes
import WireFormats

/// Compares the conditional fields of a request (RFC 9110, 13) with the entity tag of the requested bytes.
struct Conditions {
    enum Verdict: Equatable {
        case whole
        case part(Range<Int>)
        case notModified
    }

    let fields: HTTPFields
    let method: HTTPRequest.Method

    /// - Parameter tag: with its quotes.
    /// - Throws: ``HubError/preconditionFailed``, ``HubError/range(bytes:)``.
    func verdict(tag: String, bytes: Int) throws(HubError) -> Verdict {
        if let field = fields[.ifMatch], !Self.matches(field, tag, weakly: false) { throw .preconditionFailed }
        if let field = fields[.ifNoneMatch], Self.matches(field, tag, weakly: true) { return .notModified }
        // A range is defined for GET only.
        guard method == .get, let field = fields[.range], let range = ByteRange(field) else { return .whole }
        // Another entity tag, or a date, which never equals an entity tag: send the whole.
        if let field = fields[.ifRange], field.trimming != tag { return .whole }
        guard let part = range.range(of: bytes) else { throw .range(bytes: bytes) }
        return .part(part)
    }

    private static func matches(_ field: String, _ tag: String, weakly: Bool) -> Bool {
        if field.trimming == "*" { return true }
        return field.split(separator: ",").contains { candidate in
            let candidate = String(candidate).trimming
            return candidate == tag || (weakly && candidate == "W/" + tag)
        }
    }
}

extension String {
    fileprivate var trimming: String {
        var text = self[...]
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }
}
