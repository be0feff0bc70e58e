import Support
import WeightStore

/// Miss-ratio curves as a drawing: by objects and by bytes, or for prefixes the hit ratio of blocks.
package struct MissRatioPicture {
    let curve: MissRatioCurve
    /// The quota to mark, in bytes.
    let quota: Int?
    /// The result in a sentence.
    let sentence: String

    /// - Parameters:
    ///   - curve: the curves.
    ///   - quota: the present quota, which is marked; nil marks none.
    ///   - sentence: the result in a sentence; nil for that of the accesses.
    package init(_ curve: MissRatioCurve, quota: Int? = nil, sentence: String? = nil) {
        self.curve = curve
        self.quota = quota
        self.sentence =
            sentence
            ?? "\(Quantity.count(curve.accesses, "read")) of \(Quantity.count(curve.objects, "object")) with "
            + "\(Quantity.bytes(curve.footprint)), replayed at each quota."
    }

    /// The picture of a forecast, with its quota and its sentence.
    package init(_ forecast: QuotaForecast) {
        self.init(forecast.curve, quota: forecast.quota, sentence: forecast.sentence)
    }

    /// The drawing.
    package func drawing(_ colors: PictureColors = .paper) -> SVGElement {
        let isPrefix = curve.isPrefixTrace
        func panel(_ title: String, _ axis: String, _ ratio: @escaping (MissRatioCurve.Point) -> Double)
            -> LineChart.Panel
        {
            LineChart.Panel(
                title: title, axis: axis,
                lines: curve.lines.map { line in
                    LineChart.Line(
                        name: line.name == "bound" ? "best possible" : line.name,
                        points: line.points.map { (Double($0.quota), ratio($0)) }, isLimit: line.name == "bound")
                })
        }
        let panels =
            isPrefix
            ? [panel("Block hit ratio", "blocks found in the cache") { 1 - $0.missRatio }]
            : [
                panel("Object miss ratio", "reads that miss") { $0.missRatio },
                panel("Byte miss ratio", "read bytes that miss") { $0.byteMissRatio },
            ]
        return LineChart(
            title: isPrefix ? "How much does a cache of each size find?" : "How much disk? Misses by quota and policy",
            subtitle: sentence, description: description, axis: "disk quota (logarithmic scale)",
            legend: "Eviction policy", panels: panels,
            mark: quota.map { (Double($0), "today's quota: \(Quantity.bytes($0))") },
            format: Self.size, percent: { Quantity.percent($0) }
        ).drawing(colors)
    }

    /// A size without zeros that say nothing: `5 GB`.
    private static func size(_ bytes: Double) -> String {
        let parts = Quantity.bytes(bytes).split(separator: " ")
        guard parts.count == 2, parts[0].contains(".") else { return Quantity.bytes(bytes) }
        let number = parts[0].reversed().drop { $0 == "0" }.reversed()
        return String(number.last == "." ? number.dropLast() : number[...]) + " " + parts[1]
    }

    /// The figures in words, for readers who do not see the drawing.
    private var description: String {
        let lines = curve.lines.map { line in
            line.name + ": "
                + line.points.map {
                    "\(Quantity.bytes($0.quota)) "
                        + (curve.isPrefixTrace
                            ? Quantity.percent(1 - $0.missRatio)
                            : "\(Quantity.percent($0.missRatio)) of reads, \(Quantity.percent($0.byteMissRatio)) of bytes")
                }.joined(separator: "; ")
        }
        return sentence + " " + (curve.isPrefixTrace ? "Hit ratios by policy. " : "Miss ratios by policy. ")
            + lines.joined(separator: ". ") + "."
    }
}
