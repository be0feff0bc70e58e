import Support

/// A chart with axes: lines over time, or columns that are stacked.
struct Chart {
    /// How the values are drawn.
    enum Form {
        case lines
        case columns
    }

    /// The units of the vertical axis.
    enum Unit {
        case ratio, bytes, count, seconds

        func text(_ value: Double) -> String {
            switch self {
            case .ratio: Quantity.percent(value)
            case .bytes: value == 0 ? "0" : Quantity.bytes(value)
            case .count: Quantity.amount(value)
            case .seconds: value == 0 ? "0" : Quantity.seconds(value)
            }
        }
    }

    let title: String
    let unit: Unit
    let form: Form
    let series: [Activity.Series]
    /// The seconds of an interval.
    let interval: Int

    private static let (width, height) = (560.0, 210.0)
    // On narrow screens, the style sheet enlarges the text.
    private static let (left, right, top, bottom) = (84.0, 62.0, 12.0, 28.0)
    private var plotWidth: Double { Self.width - Self.left - Self.right }
    private var plotHeight: Double { Self.height - Self.top - Self.bottom }

    /// The number of intervals.
    private var count: Int { series.map(\.values.count).max() ?? 0 }

    private var isEmpty: Bool { series.allSatisfy { $0.values.allSatisfy { $0 == nil || $0 == 0 } } }

    var html: HTML {
        let maximum = unit == .ratio ? 1 : Self.ceiling(largest)
        let isWhole = unit == .count || unit == .bytes
        let steps = unit == .ratio ? 4 : isWhole && maximum == 5 ? 5 : isWhole && maximum == 1 ? 1 : 2
        let grid: [HTML] = (0...steps).map { step in
            let value = maximum * Double(step) / Double(steps)
            let y = Self.top + plotHeight * (1 - Double(step) / Double(steps))
            return """
                <line class="grid" x1="\(Self.left)" x2="\(Self.left + plotWidth)" y1="\(y)" y2="\(y)"/>\
                <text class="axis" x="\(Self.left - 6)" y="\(y + 4)" text-anchor="end">\(unit.text(value))</text>
                """
        }
        let day = Double(count > 0 ? count * interval : Activity.day)
        let ticks: [HTML] = (0...4).map { tick in
            let x = Self.left + plotWidth * Double(tick) / 4
            let ago = day * (1 - Double(tick) / 4)
            let text = tick == 4 ? "now" : "−\(Quantity.seconds(ago))"
            return """
                <text class="axis" x="\(x)" y="\(Self.height - 6)" \
                text-anchor="\(tick == 0 ? "start" : tick == 4 ? "end" : "middle")">\(text)</text>
                """
        }
        let shapes = form == .lines ? lines(maximum) : columns(maximum)
        let empty: HTML =
            isEmpty
            ? """
            <text class="empty" x="\(Self.left + plotWidth / 2)" y="\(Self.top + plotHeight / 2)" text-anchor="middle">\
            nothing in this time</text>
            """ : ""
        return """
            <figure class="chart"><figcaption>\(title)</figcaption>
            <svg role="img" viewBox="0 0 \(Self.width) \(Self.height)" aria-label="\(title). \(summary)">\
            \(grid)\(ticks)\(shapes)\(empty)</svg>
            <ul class="keys">\(keys)</ul></figure>
            """
    }

    private var largest: Double {
        switch form {
        case .lines: return series.flatMap(\.values).compactMap(\.self).max() ?? 0
        case .columns:
            return (0..<count).map { place in
                series.reduce(0) { $0 + (place < $1.values.count ? $1.values[place] ?? 0 : 0) }
            }.max() ?? 0
        }
    }

    /// The next of 1, 2, 5 times a power of ten.
    static func ceiling(_ value: Double) -> Double {
        guard value > 0, value.isFinite else { return 1 }
        var power = 1.0
        while power > value { power /= 10 }
        while power * 10 <= value { power *= 10 }
        return [1, 2, 5, 10].map { $0 * power }.first { $0 >= value } ?? 10 * power
    }

    /// Positions of labels near those that are wanted, in the same order, and far enough from each other to be read.
    static func apart(_ wanted: [Double], least: Double, gap: Double = 14) -> [Double] {
        var places = wanted
        // From the bottom up; above the top, they are moved down again.
        let order = wanted.indices.sorted { (wanted[$0], $0) > (wanted[$1], $1) }
        for (index, next) in zip(order, order.dropFirst()) { places[next] = min(places[next], places[index] - gap) }
        for (index, next) in zip(order.reversed(), order.reversed().dropFirst()) {
            places[index] = max(places[index], least)
            places[next] = max(places[next], places[index] + gap)
        }
        return places
    }

    private func x(_ place: Int) -> Double {
        Self.left + plotWidth * (Double(place) + 0.5) / Double(max(count, 1))
    }

    private func y(_ value: Double, _ maximum: Double) -> Double {
        Self.top + plotHeight * (1 - min(max(value / maximum, 0), 1))
    }

    private func lines(_ maximum: Double) -> HTML {
        var result: HTML = ""
        let ends = Self.apart(
            series.map { line in y((line.values.last { $0 != nil } ?? nil) ?? 0, maximum) }, least: Self.top)
        for (number, line) in series.enumerated() {
            var path: HTML = ""
            var isDrawing = false
            var points = 0
            for (place, value) in line.values.enumerated() {
                guard let value else {
                    isDrawing = false
                    continue
                }
                let isAlone =
                    !isDrawing && (place + 1 >= line.values.count || line.values[place + 1] == nil)
                path += "\(isDrawing ? "L" : "M")\(x(place)) \(y(value, maximum))"
                // A point without neighbours is a short dash, which is seen.
                if isAlone { path += "m-3 0h6" }
                isDrawing = true
                points += 1
            }
            if points == 0 { continue }
            result += "<path class=\"line line-\(number % Self.styles)\" d=\"\(path)\"/>"
            result += """
                <text class="end" x="\(Self.left + plotWidth + 6)" y="\(ends[number] + 4)">\(line.name)</text>
                """
        }
        return result
    }

    private func columns(_ maximum: Double) -> HTML {
        var result: HTML = ""
        let width = plotWidth / Double(max(count, 1))
        for place in 0..<count {
            var sum = 0.0
            for (number, line) in series.enumerated() {
                guard place < line.values.count, let value = line.values[place], value > 0 else { continue }
                let (bottom, top) = (y(sum, maximum), y(sum + value, maximum))
                let (x, size) = (Self.left + width * Double(place) + 0.5, max(width - 1, 0.5))
                for fill in ["fill", "over"] as [HTML] {
                    result += """
                        <rect class="\(fill)-\(number % Self.styles)" x="\(x)" y="\(top)" width="\(size)" \
                        height="\(max(bottom - top, 0.5))"/>
                        """
                }
                sum += value
            }
        }
        return result
    }

    /// The number of styles of lines and columns in the style sheet.
    static let styles = 5

    private var keys: [HTML] {
        series.enumerated().map { number, line in
            let style = number % Self.styles
            let sign: HTML =
                form == .lines
                ? "<path class=\"line line-\(style)\" d=\"M0 6h26\"/>"
                : """
                <rect class="fill-\(style)" width="16" height="12"/><rect class="over-\(style)" width="16" height="12"/>
                """
            let last = form == .lines ? line.values.last(where: { $0 != nil }) ?? nil : total(line)
            let text = last.map { unit.text($0) } ?? "–"
            return """
                <li><svg class="swatch" width="\(form == .lines ? 26 : 16)" height="12" aria-hidden="true">\(sign)</svg>
                \(line.name) <b>\(text)</b>\(form == .lines ? "" : " in total")</li>
                """
        }
    }

    private func total(_ line: Activity.Series) -> Double { line.values.reduce(0) { $0 + ($1 ?? 0) } }

    private var summary: String {
        if isEmpty { return "Nothing in this time." }
        return series.map { line in
            switch form {
            case .lines:
                let last = line.values.last(where: { $0 != nil }) ?? nil
                return "\(line.name): \(last.map { unit.text($0) } ?? "no value") last"
            case .columns: return "\(line.name): \(unit.text(total(line))) in total"
            }
        }.joined(separator: ", ") + "."
    }
}
