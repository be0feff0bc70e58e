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

    @Test("a label of the map is as long as its tile has room for on its screen; its title is whole")
    func tileLabels() throws {
        let name = "organization/a-model-with-a-name-of-many-words"
        let tiles = [("organization/large", 900), (name, 100)].map { name, bytes in
            MapLevel.Tile(
                name: name, detail: "", bytes: bytes, absent: 0, heat: 0, isShared: false, link: nil)
        }
        let text = MapSection.html(MapLevel(title: "All models", path: [], tiles: tiles, merged: 0)).text
        let pictures = text.split(separator: "<svg class=\"map ").dropFirst()
        try #require(pictures.count == 2)
        let labels = pictures.map { picture in
            picture.matches(of: /<text class="tile-name"[^>]*>([^<]*)</).map { String($0.1) }
        }
        #expect(labels.allSatisfy { $0.first == "organization/large" && $0.count == 2 }, "\(labels)")
        #expect(labels[0].last?.contains("…") == true && labels[1].last == name)
        #expect(text.contains("<title>\(name): 100 B"))
    }

    /// The tiles of a level, in MB.
    private func level(_ sizes: [Int], from start: Int = 0) -> MapLevel {
        let tiles = sizes.enumerated().map { number, size in
            MapLevel.Tile(
                name: "org/model-\(number)", detail: "", bytes: size * 1_000_000, absent: 0, heat: 0, isShared: false,
                link: "/disk?model=org/model-\(number)")
        }
        return MapLevel(title: "All models", path: [], tiles, from: start, at: "/disk")
    }

    /// The sizes of the tiles of a level.
    private static let sizes: [[Int]] = {
        let equal = [Int](repeating: 1000, count: 1000)
        let unequal: [Int] = (0..<1000).map { 100_000 / ($0 + 1) + 1 }
        let oneLarge = [1_000_000] + [Int](repeating: 1, count: 300)
        let doubled: [Int] = (0..<12).map { 1 << $0 }
        return [equal, unequal, oneLarge, doubled, [1_000_000, 1], [5]]
    }()

    @Test(
        "each rectangle of the map can be touched, and the last one leads to the others, until all were shown",
        arguments: Self.sizes)
    func touch(sizes: [Int]) throws {
        for screen in [MapLayout.Screen.phone, .wide] {
            var (start, names) = (0, [String]())
            while true {
                let layout = MapLayout(level(sizes, from: start), on: screen)
                let boxes = layout.tiles.map(\.box)
                #expect(boxes.allSatisfy { min($0.width, $0.height) >= 24 }, "\(start)")
                #expect(layout.tiles.allSatisfy { $0.tile.link != nil })
                let last = try #require(layout.tiles.last).tile
                let rest = try #require(last.link).wholeMatch(of: #/.disk\?from=([0-9]+)/#).flatMap { Int($0.1) }
                names += layout.tiles.map(\.tile.name).filter { !$0.hasSuffix(" others") }
                guard let rest else { break }
                #expect(last.name == "\(sizes.count - names.count) others" && rest == names.count)
                start = rest
            }
            #expect(names.count == sizes.count && Set(names).count == names.count)
        }
    }

    @Test("a page of the map names its place, and leads back to the first one")
    func page() {
        let text = MapSection.html(level(Array(repeating: 1000, count: 1000), from: 240)).text
        #expect(text.contains("<a href=\"/disk\" data-map>All models</a>") && text.contains("from number 241"))
        #expect(text.contains("except for that of the others"))
        #expect(text.firstMatch(of: #/…[0-9. ]*[kMGT]?B</#) == nil, "a size is cut")
        #expect(!MapSection.html(level([3, 2, 1])).text.contains("except for that of the others"))
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
