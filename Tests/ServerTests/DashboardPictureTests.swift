import TestSupport
import Testing

@testable import Server

/// The pictures of the dashboard.
@Suite(.blocking) struct DashboardPictureTests {
    @Test("a chart of few events has whole numbers at its axis, each once")
    func wholeNumbers() throws {
        for (most, labels) in [(1.0, ["0", "1"]), (2, ["0", "1", "2"]), (4, ["0", "1", "2", "3", "4", "5"])] {
            let chart = Chart(
                title: "Evictions", unit: .count, form: .columns, series: [.init(name: "disk", values: [most])],
                interval: 900)
            let shown = chart.html.text.matches(of: /text-anchor="end">(\d+)</).map { String($0.1) }
            #expect(shown == labels)
        }
    }

    @Test("a chart without a value has the axis of a day")
    func noValues() {
        let chart = Chart(title: "Bytes", unit: .bytes, form: .columns, series: [], interval: 900)
        #expect(chart.html.text.contains(">−24 h<") && chart.html.text.contains("nothing in this time"))
    }

    @Test("times below a millisecond are told apart")
    func shortTimes() {
        let chart = Chart(
            title: "Time", unit: .seconds, form: .lines, series: [.init(name: "p50", values: [0.000_08])], interval: 900
        )
        #expect(chart.html.text.contains("80 µs") && !chart.html.text.contains(">0 ms<"))
    }

    @Test("labels at the ends of curves keep their order, and do not overlap")
    func labels() {
        let places = Chart.apart([10, 10, 12, 100, 5], least: 0)
        let order = [4, 0, 1, 2, 3].map { places[$0] }
        #expect(zip(order, order.dropFirst()).allSatisfy { $1 - $0 >= 14 })
        #expect(places[3] == 100 && places.allSatisfy { $0 >= 0 })
    }

    @Test(
        "the axis of a chart ends at 1, 2 or 5 times a power of ten",
        arguments: [
            (0.0, 1.0), (0.07, 0.1), (1, 1), (1.01, 2), (3, 5), (700, 1000),
        ])
    func ceiling(value: Double, expected: Double) {
        #expect(abs(Chart.ceiling(value) - expected) < expected * 1e-9)
    }

    @Test(
        "coordinates have at most two digits after the point, and no exponent",
        arguments: [
            (0.0, "0"), (1.005, "1"), (2.5, "2.5"), (-3.14159, "-3.14"), (0.05, "0.05"), (.infinity, "0"), (1e-12, "0"),
        ])
    func coordinates(value: Double, text: String) { #expect(Coordinate.text(value) == text) }

    @Test("a label of the map is as long as its tile has room for, and shorter on a phone; its title is whole")
    func tileLabels() throws {
        let name = "organization/a-model-with-a-name-of-many-words"
        let tiles = [("organization/large", 900), (name, 100)].map { name, bytes in
            MapLevel.Tile(
                name: name, detail: "", bytes: bytes, absent: 0, heat: 0, isShared: false, link: nil)
        }
        let text = MapSection.html(MapLevel(title: "All models", path: [], tiles: tiles, merged: 0)).text
        let labels = text.matches(of: /<text class="tile-name([^"]*)"[^>]*>([^<]*)</).map {
            (String($0.1), String($0.2))
        }
        #expect(labels.first?.0 == "" && labels.first?.1 == "organization/large")
        let shortened = labels.first { $0.0 == " wide-screen" }
        let wide = try #require(shortened).1
        #expect(wide.contains("…") && wide.count < name.count)
        #expect(!labels.contains { $0.1 == name } && text.contains("<title>\(name): 100 B"))
    }

    @Test("a bar says in words what its parts are, and names its marks")
    func bar() {
        let tier = TierState(
            name: "disk", label: "Disk", limit: 100, used: 80,
            parts: [.init(kind: .pinned, bytes: 30), .init(kind: .onlyCopy, bytes: 50), .init(kind: .free, bytes: 20)],
            marks: [.init(label: "low 85%", bytes: 85), .init(label: "high 95%", bytes: 95)], health: .warning,
            reasons: ["above <all>"], notes: [])
        let text = TierSection.html([tier], []).text
        #expect(text.contains("aria-label=\"Disk: 30 B pinned, 50 B only copy, 20 B free\""))
        #expect(
            text.contains("warning: above &lt;all&gt;") && text.contains("low 85%") && text.contains("80 B of 100 B"))
    }
}
