/// Lines over a logarithmic axis of sizes, in one panel or several that lie side by side. Lines differ by color, dash
/// and marker.
struct LineChart {
    struct Line {
        let name: String
        /// Sizes, and fractions of 1.
        let points: [(size: Double, fraction: Double)]
        /// A limit is drawn thin, gray and without markers.
        var isLimit = false
    }

    struct Panel {
        let title: String
        /// The title of the vertical axis.
        let axis: String
        let lines: [Line]
    }

    let title: String
    /// What the chart shows, in a sentence below the title.
    let subtitle: String
    let description: String
    /// The title of the horizontal axis.
    let axis: String
    /// The title of the legend.
    let legend: String
    let panels: [Panel]
    /// A vertical line.
    var mark: (size: Double, label: String)?
    /// The text of a size.
    let format: (Double) -> String
    /// The text of a fraction.
    let percent: (Double) -> String

    private static let dashes: [SVGValue] = ["none", "9 4", "2 3", "12 4 2 4", "5 3", "16 4", "8 3 2 3 2 3"]
    private static let (panelWidth, panelHeight, legendWidth) = (460.0, 300.0, 190.0)
    private static let (left, above, below, gap) = (74.0, 112.0, 74.0, 84.0)

    private var lines: [Line] { panels.first?.lines ?? [] }
    private var width: Double {
        Self.left + Double(panels.count) * Self.panelWidth + Double(panels.count - 1) * Self.gap + Self.legendWidth
    }
    private var height: Double { Self.above + Self.panelHeight + Self.below }

    func drawing(_ colors: PictureColors) -> SVGElement {
        var svg = SVGElement.drawing(width: width, height: height, title: title, description: description)
        svg.set("fill", colors.text)
        if let background = colors.background {
            svg.append(SVGElement("rect", ["width": "100%", "height": "100%", "fill": background]))
        }
        svg.append(
            SVGElement("text", ["x": 16, "y": 30, "font-size": 19, "font-weight": 600], text: title))
        let line = TextFit.fitted(subtitle, size: 14, width: width - 32) ?? subtitle
        svg.append(SVGElement("text", ["x": 16, "y": 54, "font-size": 14], text: line))
        let scale = LogarithmicScale(
            panels.flatMap(\.lines).flatMap(\.points).map(\.size) + (mark.map { [$0.size] } ?? []))
        for (index, panel) in panels.enumerated() {
            let area = Rectangle(
                x: Self.left + Double(index) * (Self.panelWidth + Self.gap), y: Self.above, width: Self.panelWidth,
                height: Self.panelHeight)
            svg.append(draw(panel, in: area, scale, colors))
        }
        svg.append(key(colors))
        return svg
    }

    // MARK: A panel

    private func draw(
        _ panel: Panel, in area: Rectangle, _ scale: LogarithmicScale, _ colors: PictureColors
    ) -> SVGElement {
        var group = SVGElement("g")
        let top = Self.top(panel.lines.flatMap(\.points).map(\.fraction).max() ?? 1)
        func x(_ size: Double) -> Double { area.x + scale.place(size) * area.width }
        func y(_ fraction: Double) -> Double { area.y + (1 - min(max(fraction / top, 0), 1)) * area.height }
        group.append(
            SVGElement(
                "text", ["x": SVGValue(area.x), "y": SVGValue(area.y - 26), "font-size": 15, "font-weight": 600],
                text: panel.title))
        axes(in: area, top: top, panel.axis, scale, colors, &group)
        if let mark {
            let place = x(mark.size)
            let isRight = place > area.x + area.width * 0.6
            group.append(
                Self.line(place, area.y - 8, place, area.y + area.height, colors.text, width: 1.5, dash: "6 3"))
            group.append(
                SVGElement(
                    "text",
                    [
                        "x": SVGValue(place + (isRight ? -6 : 6)), "y": SVGValue(area.y - 2),
                        "text-anchor": isRight ? "end" : "start", "font-weight": 600,
                    ], text: mark.label))
        }
        // The first line is drawn last, over the others.
        for (index, line) in panel.lines.enumerated().reversed() {
            let style = Self.style(index, line)
            let points = line.points.map { "\(SVGValue(x($0.size)).text),\(SVGValue(y($0.fraction)).text)" }
            group.append(
                SVGElement(
                    "polyline",
                    [
                        "points": SVGValue(points.joined(separator: " ")), "fill": "none", "stroke": style.color,
                        "stroke-width": style.width, "stroke-dasharray": style.dash, "stroke-linejoin": "round",
                    ]
                ).titled(line.name))
            guard !line.isLimit else { continue }
            for point in line.points {
                group.append(
                    Self.marker(index, x(point.size), y(point.fraction), style.color).titled(
                        "\(line.name), \(format(point.size)): \(percent(point.fraction))"))
            }
        }
        return group
    }

    private func axes(
        in area: Rectangle, top: Double, _ title: String, _ scale: LogarithmicScale, _ colors: PictureColors,
        _ group: inout SVGElement
    ) {
        let bottom = area.y + area.height
        for step in 0...5 {
            let y = bottom - area.height * Double(step) / 5
            group.append(Self.line(area.x, y, area.x + area.width, y, colors.grid, width: 1))
            group.append(
                SVGElement(
                    "text", ["x": SVGValue(area.x - 8), "y": SVGValue(y + 4.5), "text-anchor": "end"],
                    text: percent(top * Double(step) / 5)))
        }
        group.append(Self.line(area.x, bottom, area.x + area.width, bottom, colors.text, width: 1.2))
        group.append(Self.line(area.x, area.y, area.x, bottom, colors.text, width: 1.2))
        for size in scale.marked {
            let x = area.x + scale.place(size) * area.width
            group.append(Self.line(x, bottom, x, bottom + 4, colors.text, width: 1))
        }
        for size in scale.labeled(7) {
            let x = area.x + scale.place(size) * area.width
            group.append(Self.line(x, area.y, x, bottom, colors.grid, width: 1))
            group.append(Self.line(x, bottom, x, bottom + 8, colors.text, width: 1.2))
            group.append(
                SVGElement(
                    "text", ["x": SVGValue(x), "y": SVGValue(bottom + 23), "text-anchor": "middle"], text: format(size))
            )
        }
        group.append(
            SVGElement(
                "text",
                [
                    "x": SVGValue(area.x + area.width / 2), "y": SVGValue(bottom + 48), "text-anchor": "middle",
                    "font-size": 14,
                ], text: axis))
        let middle = area.y + area.height / 2
        group.append(
            SVGElement(
                "text",
                [
                    "x": SVGValue(area.x - 54), "y": SVGValue(middle), "text-anchor": "middle", "font-size": 14,
                    "transform": "rotate(-90 \(SVGValue(area.x - 54).text) \(SVGValue(middle).text))",
                ], text: title))
    }

    /// The end of the vertical axis: its fifths are round numbers.
    static func top(_ highest: Double) -> Double {
        [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.8]
            .first { $0 >= highest } ?? 1
    }

    // MARK: Lines

    private func key(_ colors: PictureColors) -> SVGElement {
        var group = SVGElement("g")
        let x = width - Self.legendWidth + 22
        group.append(
            SVGElement(
                "text", ["x": SVGValue(x), "y": SVGValue(Self.above - 26), "font-size": 15, "font-weight": 600],
                text: legend))
        for (index, line) in lines.enumerated() {
            let y = Self.above + 8 + 24 * Double(index)
            let style = Self.style(index, line)
            group.append(Self.line(x, y, x + 44, y, style.color, width: style.width, dash: style.dash))
            if !line.isLimit { group.append(Self.marker(index, x + 22, y, style.color)) }
            group.append(
                SVGElement(
                    "text", ["x": SVGValue(x + 52), "y": SVGValue(y + 4.5)],
                    text: TextFit.fitted(line.name, size: 13, width: Self.legendWidth - 78) ?? "…"
                ).titled(line.name))
        }
        return group
    }

    private static func style(_ index: Int, _ line: Line) -> (color: SVGValue, dash: SVGValue, width: SVGValue) {
        line.isLimit
            ? ("#7d7d7d", "1.5 3", 1.8)
            : (
                PictureColors.lines[index % PictureColors.lines.count], dashes[index % dashes.count],
                index == 0 ? 3.2 : 2.2
            )
    }

    private static func line(
        _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ color: SVGValue, width: SVGValue,
        dash: SVGValue = "none"
    ) -> SVGElement {
        SVGElement(
            "line",
            [
                "x1": SVGValue(x1), "y1": SVGValue(y1), "x2": SVGValue(x2), "y2": SVGValue(y2), "stroke": color,
                "stroke-width": width, "stroke-dasharray": dash,
            ])
    }

    /// A circle, a square, a triangle, a diamond, a cross, an inverted triangle or a ring.
    private static func marker(_ index: Int, _ x: Double, _ y: Double, _ color: SVGValue) -> SVGElement {
        func polygon(_ corners: [(Double, Double)]) -> SVGElement {
            let points = corners.map { "\(SVGValue(x + $0.0).text),\(SVGValue(y + $0.1).text)" }
            return SVGElement(
                "polygon",
                [
                    "points": SVGValue(points.joined(separator: " ")), "fill": color, "stroke": "#ffffff",
                    "stroke-width": 1,
                ])
        }
        switch index % 7 {
        case 0:
            return SVGElement(
                "circle",
                ["cx": SVGValue(x), "cy": SVGValue(y), "r": 5.2, "fill": color, "stroke": "#ffffff", "stroke-width": 1])
        case 1: return polygon([(-4.6, -4.6), (4.6, -4.6), (4.6, 4.6), (-4.6, 4.6)])
        case 2: return polygon([(0, -6), (5.8, 4.6), (-5.8, 4.6)])
        case 3: return polygon([(0, -6.2), (6.2, 0), (0, 6.2), (-6.2, 0)])
        case 4:
            return polygon([
                (-6, -2), (-2, -2), (-2, -6), (2, -6), (2, -2), (6, -2), (6, 2), (2, 2), (2, 6), (-2, 6), (-2, 2),
                (-6, 2),
            ])
        case 5: return polygon([(0, 6), (5.8, -4.6), (-5.8, -4.6)])
        default:
            return SVGElement(
                "circle",
                ["cx": SVGValue(x), "cy": SVGValue(y), "r": 4.4, "fill": "#ffffff", "stroke": color, "stroke-width": 2])
        }
    }
}
