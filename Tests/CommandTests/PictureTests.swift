import FoundationXML
import Foundation
import TestSupport
import Testing
import WeightStore
@testable import Pictures

/// The pictures of `policy simulate --plot` and `du --treemap`, and their layout.
@Suite(.blocking) struct PictureTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() { tool = Tool(store: directory("store")) }

    @Test("tiles cover the rectangle, do not overlap, and have areas in proportion to their weights")
    func tiles() {
        var random = Random(seed: 3)
        for count in [1, 2, 7, 40, 300] {
            let weights = (0..<count).map { _ in Double(Int.random(in: 0...1000, using: &random)) } + [1]
            let area = Rectangle(x: 10, y: 20, width: 640, height: 400)
            let tiles = Treemap.tiles(weights, in: area)
            let total = weights.reduce(0, +)
            for (weight, tile) in zip(weights, tiles) {
                #expect(abs(tile.area - weight / total * area.area) < 0.01)
                let isInside =
                    tile.x >= 9.999 && tile.y >= 19.999 && tile.x + tile.width <= 650.001
                    && tile.y + tile.height <= 420.001
                #expect(isInside)
            }
            for (place, one) in tiles.enumerated() {
                for other in tiles[(place + 1)...] {
                    let width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
                    let height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
                    #expect(min(width, height) < 0.001)
                }
            }
        }
    }

    @Test("the example of the paper: six tiles of a 6 by 4 rectangle are as square as published")
    func paper() {
        let tiles = Treemap.tiles([6, 6, 4, 3, 2, 2, 1], in: Rectangle(x: 0, y: 0, width: 6, height: 4))
        #expect(tiles[0] == Rectangle(x: 0, y: 0, width: 3, height: 2))
        #expect(tiles[1] == Rectangle(x: 0, y: 2, width: 3, height: 2))
        #expect(abs(tiles[2].width - 12.0 / 7) < 1e-9 && abs(tiles[2].height - 7.0 / 3) < 1e-9)
    }

    @Test("weights that are no sizes have no area, and nothing traps")
    func oddWeights() {
        let area = Rectangle(x: 0, y: 0, width: 10, height: 10)
        #expect(Treemap.tiles([], in: area).isEmpty)
        #expect(Treemap.tiles([0, .nan, -1, .infinity], in: area).allSatisfy { $0.area == 0 })
        #expect(Treemap.tiles([1], in: Rectangle(x: 0, y: 0, width: 0, height: 10))[0].area == 0)
    }

    @Test("texts and attributes are escaped, and characters that XML forbids are replaced")
    func escaped() throws {
        let hostile = "<script>alert('1')</script> & \"x\" \u{1}\u{FFFF}]]>"
        let text = SVGElement("g", ["id": SVGValue(hostile)]).with(SVGElement("text", text: hostile)).xml
        #expect(!text.contains("<script") && !text.contains("\u{1}"))
        let root = try #require(try XMLDocument(xmlString: text, options: []).rootElement())
        #expect(root.attribute(forName: "id")?.stringValue?.hasPrefix("<script>") == true)
        #expect(root.elements(forName: "text").first?.stringValue?.contains("& \"x\"") == true)
        for value in [Double.nan, .infinity, 1e300] { #expect(SVGValue(value).text == "0") }
        #expect(SVGValue(1.005).text == "1" || SVGValue(1.005).text == "1.01")
        #expect(SVGValue(-2.5).text == "-2.5")
    }

    /// An attribute. `attribute(forName:)` finds none of an element in a namespace.
    private func value(of attribute: String, _ element: XMLElement) -> String? {
        element.attributes?.first { $0.name == attribute }?.stringValue
    }

    /// The root of a drawing, which must have a title and a description.
    private func root(_ name: String) throws -> XMLElement {
        let text = String(decoding: try contents(directory(name)), as: UTF8.self)
        let root = try #require(try XMLDocument(xmlString: text, options: []).rootElement())
        #expect(root.name == "svg" && value(of: "role", root) == "img")
        for part in ["title", "desc"] { #expect(root.elements(forName: part).first?.stringValue?.isEmpty == false) }
        return root
    }

    @Test("a treemap has each model, shared bytes once with the names of the models, and hatches what is not on disk")
    func treemap() throws {
        try TestModel(layers: 2).write(to: directory("base"))
        try TestModel(layers: 2).tuned(seed: 7).write(to: directory("tuned"))
        for name in ["base", "tuned"] {
            let origin = "file://" + directory(name)
            let made = try tool("import", directory(name), "--name", "org/\(name)", "--origin", origin)
            #expect(made.status == 0, "\(made.errors)")
        }
        #expect(try tool("du", "--treemap", directory("disk.svg")).output.contains("org/base"))
        let text = try root("disk.svg").xmlString
        #expect(text.contains("shared by org/base + org/tuned") && text.contains("layer 1"))
        #expect(!text.contains("not on disk, "))
        #expect(try tool("evict", "--free", "2M").status == 0)
        #expect(try tool("du", "--treemap", directory("evicted.svg")).status == 0)
        #expect(try root("evicted.svg").xmlString.contains(", evicted"))
        #expect(try tool("du", "--treemap", directory("disk.html")).status == 0)
        let page = String(decoding: try contents(directory("disk.html")), as: UTF8.self)
        #expect(page.hasPrefix("<!doctype html>") && page.contains("<table>") && page.contains("org/base + org/tuned"))
        #expect(!page.contains("http://") || page.contains("http://www.w3.org/2000/svg"))
        #expect(try tool("du", "--treemap", directory("disk.png")).status == 64)
    }

    @Test("a tile without room for its model's name has no layer numbers")
    func narrowTiles() throws {
        try TestModel(layers: 2).write(to: directory("base"))
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("base"), name: "org/base"))
        let wide = DiskMapPicture(try store.diskMap()).drawing().xml
        #expect(wide.contains("layer 1</text>"))
        let narrow = DiskMapPicture(try store.diskMap(), width: 70, height: 400).drawing().xml
        #expect(!narrow.contains(">0</text>") && !narrow.contains(">1</text>"))
    }

    @Test("a plot has both ratios, titled axes, lines that differ by dash and marker, and the quota of today")
    func plot() throws {
        try TestModel(layers: 2).write(to: directory("base"))
        #expect(try tool("import", directory("base"), "--name", "org/base").status == 0)
        #expect(try tool("record", "on").status == 0)
        for _ in 0..<2 { #expect(try tool("cat", "org/base", "model.safetensors").status == 0) }
        #expect(try tool("quota", "--set", "3M").status == 0)
        let drawn = try tool(
            "policy", "simulate", "--policy", "lru,lfu,gdsf", "--points", "4", "--plot", directory("plot.svg"))
        #expect(drawn.status == 0 && drawn.output.contains("At 3.00 MB, "), "\(drawn.errors)")
        let svg = try root("plot.svg")
        let text = svg.xmlString
        for part in [
            "Object miss ratio", "Byte miss ratio", "logarithmic scale", "reads that miss", "today's quota: 3.00 MB",
            "best possible", "At 3.00 MB, ",
        ] { #expect(text.contains(part), "\(part)") }
        let lines = try svg.nodes(forXPath: "//*[local-name()='polyline']").compactMap { $0 as? XMLElement }
        #expect(lines.count == 8)
        #expect(Set(lines.prefix(4).compactMap { value(of: "stroke-dasharray", $0) }).count == 4)
        #expect(try tool("policy", "simulate", "--points", "2", "--plot", directory("plot.png")).status == 64)
        #expect(!FileManager.default.fileExists(atPath: directory("plot.png")))
        let facts = try tool("policy", "simulate", "--points", "2", "--json").object()
        #expect(facts["quota"] as? Int == 3_000_000 && facts["present"] is [String: Any] && facts["lines"] is [Any])
    }
}
