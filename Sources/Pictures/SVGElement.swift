import Foundation

/// An element of an SVG drawing, or of an HTML page that holds one.
///
/// Names of elements and attributes are literals of the program. Everything else is text, and is escaped when the element
/// is written: nothing from a model's name, path or ref becomes markup.
package struct SVGElement: Sendable {
    private enum Child: Sendable {
        case element(SVGElement)
        case text(String)
    }

    private let name: StaticString
    private var attributes: [(name: StaticString, value: String)]
    private var children: [Child] = []

    /// Creates an element without children.
    package init(_ name: StaticString, _ attributes: KeyValuePairs<StaticString, SVGValue> = [:]) {
        self.name = name
        self.attributes = attributes.map { ($0.key, $0.value.text) }
    }

    /// Creates an element with a text.
    package init(_ name: StaticString, _ attributes: KeyValuePairs<StaticString, SVGValue> = [:], text: String) {
        self.init(name, attributes)
        children = [.text(text)]
    }

    /// Sets an attribute that the element does not have yet.
    package mutating func set(_ attribute: StaticString, _ value: SVGValue) {
        attributes.append((attribute, value.text))
    }

    /// Appends a child.
    package mutating func append(_ child: SVGElement) { children.append(.element(child)) }

    /// Appends children.
    package mutating func append(_ children: [SVGElement]) { self.children += children.map { .element($0) } }

    /// Appends a text.
    package mutating func append(text: String) { children.append(.text(text)) }

    /// The element with these children appended.
    package func with(_ children: SVGElement...) -> SVGElement {
        var element = self
        element.append(children)
        return element
    }

    /// The element with a title, which browsers show when the pointer rests on it and screen readers read.
    package func titled(_ title: String) -> SVGElement {
        var element = self
        element.children.insert(.element(SVGElement("title", text: title)), at: 0)
        return element
    }

    /// The element as XML, without a declaration. An HTML parser reads it alike, because elements that must not be empty
    /// in HTML have an end tag.
    package var xml: String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        text += "<\(name)"
        for (name, value) in attributes { text += " \(name)=\"\(Self.escaped(value))\"" }
        guard !children.isEmpty else {
            text += Self.voidNames.contains("\(name)") ? "/>" : "></\(name)>"
            return
        }
        text += ">"
        var hasElements = false
        for child in children {
            switch child {
            case .element(let element):
                if !hasElements, children.count > 1 { text += "\n" }
                hasElements = true
                element.write(to: &text)
                if children.count > 1 { text += "\n" }
            case .text(let content): text += Self.escaped(content)
            }
        }
        text += "</\(name)>"
    }

    /// Elements that are written without an end tag if they are empty.
    private static let voidNames: Set<String> = [
        "rect", "line", "path", "polyline", "polygon", "circle", "use", "stop", "meta", "br", "hr",
    ]

    /// Characters that XML forbids are replaced, too.
    private static func escaped(_ text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\t", "\n", "\r": result += " "
            default:
                let isForbidden = scalar.value < 0x20 || scalar.value == 0xFFFE || scalar.value == 0xFFFF
                result.unicodeScalars.append(isForbidden ? "\u{FFFD}" : scalar)
            }
        }
        return result
    }
}

/// The value of an attribute: a text or a number.
package struct SVGValue: Sendable, ExpressibleByStringLiteral, ExpressibleByStringInterpolation,
    ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral
{
    let text: String

    package init(_ text: String) { self.text = text }
    package init(stringLiteral text: String) { self.text = text }
    package init(floatLiteral value: Double) { self.init(value) }
    package init(integerLiteral value: Int) { text = "\(value)" }

    /// A number, rounded to a hundredth.
    package init(_ value: Double) {
        let hundredths = (value * 100).rounded()
        guard hundredths.isFinite, abs(hundredths) < 1e15 else {
            text = "0"
            return
        }
        let rounded = hundredths / 100
        text = rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
    }
}

extension SVGElement {
    /// A drawing that a screen reader describes.
    ///
    /// - Parameters:
    ///   - width: the width in units of the drawing; the drawing scales to its place.
    ///   - title: the name of the drawing.
    ///   - description: what it shows, in sentences.
    package static func drawing(width: Double, height: Double, title: String, description: String) -> SVGElement {
        SVGElement(
            "svg",
            [
                "xmlns": "http://www.w3.org/2000/svg", "width": SVGValue(width), "height": SVGValue(height),
                "viewBox": "0 0 \(SVGValue(width).text) \(SVGValue(height).text)", "role": "img",
                "aria-labelledby": "title description", "font-family": "system-ui, sans-serif", "font-size": 13,
            ]
        ).with(
            SVGElement("title", ["id": "title"], text: title),
            SVGElement("desc", ["id": "description"], text: description))
    }
}
