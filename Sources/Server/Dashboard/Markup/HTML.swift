import Support

/// A piece of HTML. Markup comes from literals of the source code alone: an interpolated text is escaped, an interpolated
/// ``HTML`` is inserted as it is, and there is no conversion from a text that is known only at run time.
///
///     let row: HTML = "<td title=\"\(path)\">\(name)</td>"
///
/// So nothing from a model's name, a path, a ref or an error can become markup. Attributes are quoted in all literals,
/// because the escaping of a text is right for text and for a quoted attribute.
struct HTML: Sendable, ExpressibleByStringInterpolation {
    /// The markup.
    private(set) var text: String

    /// Literals only: a `StaticString` cannot be made at run time.
    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = ""

        init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity) }

        mutating func appendLiteral(_ literal: StaticString) { text += literal.description }

        /// A text, which is escaped. A literal inside of an interpolation is markup, as any literal: hence "disfavored".
        @_disfavoredOverload
        mutating func appendInterpolation(_ value: String) { HTML.escape(value, into: &text) }
        mutating func appendInterpolation(_ value: Int) { text += String(value) }
        mutating func appendInterpolation(_ value: HTML) { text += value.text }
        mutating func appendInterpolation(_ values: [HTML]) { for value in values { text += value.text } }

        /// A value if there is one.
        mutating func appendInterpolation(_ value: HTML?) { if let value { text += value.text } }

        /// A coordinate, with at most two digits after the point.
        mutating func appendInterpolation(_ value: Double) { text += Coordinate.text(value) }
    }

    init(stringLiteral value: StaticString) { text = value.description }
    init(stringInterpolation: StringInterpolation) { text = stringInterpolation.text }

    /// A text, escaped.
    init(_ text: String) {
        self.text = ""
        Self.escape(text, into: &self.text)
    }

    /// A file of the program.
    init(_ asset: DashboardAsset) { text = asset.text }

    static func + (left: HTML, right: HTML) -> HTML { "\(left)\(right)" }

    static func += (left: inout HTML, right: HTML) { left.text += right.text }

    private static func escape(_ value: String, into text: inout String) {
        for scalar in value.unicodeScalars {
            switch scalar {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            case "'": text += "&#39;"
            // HTML has no form for control characters. Those that change the direction of text could disguise a name.
            case "\u{0}"..<"\u{20}", "\u{7F}"..<"\u{A0}", "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}":
                text += "\u{FFFD}"
            default: text.unicodeScalars.append(scalar)
            }
        }
    }
}

/// Formats coordinates.
enum Coordinate {
    /// At most two digits after the point, as SVG needs no more.
    static func text(_ value: Double) -> String {
        guard value.isFinite else { return "0" }
        let hundredths = Int(saturating: (value * 100).rounded())
        let sign = hundredths < 0 ? "-" : ""
        let (whole, rest) = (hundredths.magnitude / 100, hundredths.magnitude % 100)
        if rest == 0 { return "\(sign)\(whole)" }
        return rest % 10 == 0 ? "\(sign)\(whole).\(rest / 10)" : "\(sign)\(whole).\(rest < 10 ? "0" : "")\(rest)"
    }
}
