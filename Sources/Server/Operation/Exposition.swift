import Support
import WeightStore

/// Metrics in the text format of Prometheus (version 0.0.4).
///
/// Families appear in the order of ``MetricFamily/all``, each with all of its samples, as the format requires. One without
/// samples is left out.
package struct Exposition {
    /// The content type of the text.
    package static let type = "text/plain; version=0.0.4; charset=utf-8"

    private var samples: [MetricFamily: String] = [:]

    package init() {}

    /// Adds a sample.
    ///
    /// - Parameter labels: the values of the family's labels, in their order.
    package mutating func add(_ family: MetricFamily, _ value: Double, _ labels: String...) {
        append(family, "", pairs(family, labels), value)
    }

    /// Adds a sample of a count or a size.
    package mutating func add(_ family: MetricFamily, _ value: Int, _ labels: String...) {
        append(family, "", pairs(family, labels), Double(value))
    }

    /// Adds the buckets, the sum and the count of a histogram.
    package mutating func add(_ family: MetricFamily, _ value: TimeHistogram, _ labels: String...) {
        precondition(family.kind == .histogram, "\(family.name) is no histogram")
        let pairs = pairs(family, labels)
        var below = 0
        for (bound, count) in zip(TimeHistogram.buckets, value.counts) {
            below = below.adding(saturating: count)
            append(family, "_bucket", pairs + [("le", bound)], Double(below))
        }
        append(family, "_sum", pairs, value.seconds)
        append(family, "_count", pairs, Double(below))
    }

    private func pairs(_ family: MetricFamily, _ labels: [String]) -> [(String, String)] {
        precondition(labels.count == family.labels.count, "\(family.name) has the labels \(family.labels)")
        return Array(zip(family.labels, labels))
    }

    private mutating func append(
        _ family: MetricFamily, _ suffix: String, _ labels: [(String, String)], _ value: Double
    ) {
        let labels = labels.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ",")
        samples[family, default: ""] +=
            "\(family.name)\(suffix)\(labels.isEmpty ? "" : "{\(labels)}") \(Self.text(value))\n"
    }

    /// The escapes of the format: a backslash, a quotation mark and a line feed. It has none for other control characters.
    private static func escaped(_ label: String) -> String {
        label.replacing(scalars: { scalar in
            switch scalar {
            case "\\": "\\\\"
            case "\"": "\\\""
            case "\n": "\\n"
            default: scalar.properties.generalCategory == .control ? "_" : nil
            }
        })
    }

    private static func text(_ value: Double) -> String {
        if value == value.rounded(), abs(value) < 0x1p53 { return "\(Int(value))" }
        return value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Inf" : "+Inf") : "\(value)"
    }

    /// The metrics that were added.
    package var text: String {
        MetricFamily.all.reduce(into: "") { text, family in
            guard let samples = samples[family] else { return }
            text += "# HELP \(family.name) \(family.help)\n# TYPE \(family.name) \(family.kind)\n\(samples)"
        }
    }
}
