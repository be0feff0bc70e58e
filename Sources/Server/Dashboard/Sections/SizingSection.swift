import Foundation
import Support

/// How much disk? Miss-ratio curves of the recorded accesses, with the present quota.
enum SizingSection {
    private static let (width, height) = (680.0, 330.0)
    private static let (left, right, top, bottom) = (92.0, 76.0, 16.0, 56.0)
    private static var plotWidth: Double { width - left - right }
    private static var plotHeight: Double { height - top - bottom }

    /// What is shown while no accesses are recorded.
    static let unrecorded: HTML = """
        <p class="nothing">No uses are recorded. <code>weightstore record on</code> records those of all processes; after a \
        day or more, the answer is here.</p>
        """

    static func html(_ sizing: Sizing) -> HTML {
        """
        <p class="answer">\(sizing.sentence)</p>
        \(picture(sizing))
        <p class="note">A read misses if its shard is not on disk and must be fetched. Replayed: \
        \(Quantity.count(sizing.accesses, "use")) of shards, recorded over \(Quantity.seconds(sizing.seconds)). The first use of \
        a shard misses at every size. Policy in use: \(sizing.policy). Each line is an eviction policy; “bound” is the least that any policy could reach.</p>
        \(table(sizing))
        """
    }

    private static func picture(_ sizing: Sizing) -> HTML {
        let sizes = sizing.lines.flatMap { $0.points.map(\.bytes) }.filter { $0 > 0 }
        guard let least = sizes.min(), let most = sizes.max(), least < most else { return "" }
        let (low, high) = (log10(Double(least)), log10(Double(most)))
        let largest = Chart.ceiling(sizing.lines.flatMap { $0.points.map(\.missRatio) }.max() ?? 1)
        let maximum = min(largest, 1)
        func x(_ bytes: Int) -> Double { left + plotWidth * (log10(Double(max(bytes, 1))) - low) / (high - low) }
        func y(_ ratio: Double) -> Double { top + plotHeight * (1 - min(max(ratio / maximum, 0), 1)) }
        let grid: [HTML] = (0...4).map { step in
            let value = maximum * Double(step) / 4
            return """
                <line class="grid" x1="\(left)" x2="\(left + plotWidth)" y1="\(y(value))" y2="\(y(value))"/>\
                <text class="axis" x="\(left - 8)" y="\(y(value) + 4)" text-anchor="end">\(Quantity.percent(value))</text>
                """
        }
        let ticks: [HTML] = Self.ticks(low, high).map { bytes in
            """
            <line class="grid" x1="\(x(bytes))" x2="\(x(bytes))" y1="\(top)" y2="\(top + plotHeight)"/>\
            <text class="axis" x="\(x(bytes))" y="\(top + plotHeight + 20)" \
            text-anchor="middle">\(Self.size(bytes))</text>
            """
        }
        let ends = Chart.apart(
            sizing.lines.map { line in y(line.points.max { $0.bytes < $1.bytes }?.missRatio ?? 0) }, least: top, gap: 19
        )
        let lines: [HTML] = sizing.lines.enumerated().map { number, line in
            var path: HTML = ""
            for (place, point) in line.points.sorted(by: { $0.bytes < $1.bytes }).enumerated() {
                path += "\(place == 0 ? "M" : "L")\(x(point.bytes)) \(y(point.missRatio))"
            }
            return """
                <path class="line line-\(number % Chart.styles)" d="\(path)"/>\
                <text class="end" x="\(left + plotWidth + 8)" y="\(ends[number] + 4)">\(line.name)</text>
                """
        }
        let quota: HTML? = sizing.quota.flatMap { quota in
            guard least...most ~= quota else { return nil }
            let isRight = x(quota) > left + plotWidth * 0.7
            return """
                <line class="quota" x1="\(x(quota))" x2="\(x(quota))" y1="\(top)" y2="\(top + plotHeight)"/>\
                <text class="mark-label" x="\(x(quota) + (isRight ? -6 : 6))" y="\(top + 14)" \
                text-anchor="\(isRight ? "end" : "start")">quota today: \(Quantity.bytes(quota))</text>
                """
        }
        return """
            <figure class="chart wide"><svg role="img" viewBox="0 0 \(width) \(height)" \
            aria-label="Miss ratio by size of the disk tier. \(sizing.sentence)">\(grid)\(ticks)\(lines)\(quota)\
            <text class="axis" x="\(left + plotWidth / 2)" y="\(height - 6)" text-anchor="middle">\
            size of the disk tier (logarithmic)</text>\
            <text class="axis" transform="translate(14 \(top + plotHeight / 2)) rotate(-90)" text-anchor="middle">\
            reads that miss</text></svg></figure>
            """
    }

    /// A power of ten, or 2 or 5 times one, without digits after the point.
    private static func size(_ bytes: Int) -> String {
        Quantity.bytes(bytes).replacing(".00", with: "").replacing(".0", with: "")
    }

    /// 1, 2 and 5 times the powers of ten; the powers alone, or each second one, if there are many.
    private static func ticks(_ low: Double, _ high: Double) -> [Int] {
        let factors = high - low > 1.6 ? [1.0] : [1.0, 2.0, 5.0]
        let step = high - low > 4.5 ? 2 : 1
        var found: [Int] = []
        for power in stride(from: Int(saturating: low), through: Int(saturating: high) + 1, by: step) {
            for factor in factors {
                let bytes = factor * pow(10, Double(power))
                if low - 0.001...high + 0.001 ~= log10(bytes) { found.append(Int(saturating: bytes)) }
            }
        }
        return found
    }

    private static func table(_ sizing: Sizing) -> HTML {
        let sizes = Set(sizing.lines.flatMap { $0.points.map(\.bytes) }).sorted()
        let heads: [HTML] = sizing.lines.map { "<th scope=\"col\" class=\"number\">\($0.name)</th>" }
        let rows: [HTML] = sizes.map { size in
            let cells: [HTML] = sizing.lines.map { line in
                let point = line.points.first { $0.bytes == size }
                return "<td class=\"number\">\(point.map { Quantity.percent($0.missRatio) } ?? "–")</td>"
            }
            return "<tr><th scope=\"row\">\(Quantity.bytes(size))</th>\(cells)</tr>"
        }
        return """
            <details id="sizing-table"><summary>As a table</summary><div class="scroll" tabindex="0" role="region" \
            aria-label="Miss ratios as a table"><table class="plain"><thead><tr><th scope="col">Size</th>\(heads)</tr></thead>\
            <tbody>\(rows)</tbody></table></div></details>
            """
    }
}
