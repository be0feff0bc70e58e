import Support
import WeightStore

/// The treemap of a disk: models, their layers, and the shards of these. Each byte is drawn once, shared bytes in tiles of
/// their own; color is heat, and bytes that are not on disk are hatched.
package struct DiskMapPicture {
    let map: DiskMap
    private let width: Double
    private let height: Double
    private static let (header, footer) = (62.0, 76.0)
    /// The smallest areas, in square units, of a layer and of a shard.
    private static let (leastLayer, leastShard) = (90.0, 36.0)

    package init(_ map: DiskMap, width: Double = 1200, height: Double = 800) {
        self.map = map
        self.width = width
        self.height = height
    }

    package static let title = "What is on the disk"

    /// The total size, in words.
    package var summary: String {
        let sum = map.groups.reduce(into: (bytes: map.kvBytes, absent: 0)) { sum, group in
            sum.bytes.add(saturating: group.sum.bytes)
            sum.absent.add(saturating: group.sum.absentBytes)
        }
        let models = Set(map.groups.flatMap(\.models)).count
        return "\(Quantity.count(models, "model")), \(Quantity.bytes(sum.bytes)) on disk"
            + (sum.absent > 0 ? ", and \(Quantity.bytes(sum.absent)) that are not on disk (hatched)" : "")
            + ". The area of a tile is its size. Bytes that several models share are drawn once."
    }

    /// The drawing.
    package func drawing(_ colors: PictureColors = .paper) -> SVGElement {
        var svg = SVGElement.drawing(width: width, height: height, title: Self.title, description: description)
        svg.set("fill", colors.text)
        if let background = colors.background {
            svg.append(SVGElement("rect", ["width": "100%", "height": "100%", "fill": background]))
        }
        svg.append(SVGElement("defs").with(Self.hatch))
        svg.append(
            SVGElement("text", ["x": 12, "y": 28, "font-size": 20, "font-weight": 600], text: Self.title))
        svg.append(
            SVGElement(
                "text", ["x": 12, "y": 50, "font-size": 14],
                text: TextFit.fitted(summary, size: 14, width: width - 24) ?? ""))
        let area = Rectangle(
            x: 8, y: Self.header, width: width - 16, height: height - Self.header - Self.footer)
        let tiles = Treemap.tiles(map.groups.map { Self.all($0.sum) } + [Double(map.kvBytes)], in: area)
        if tiles.allSatisfy({ $0.area == 0 }) {
            svg.append(
                SVGElement(
                    "text", ["x": SVGValue(width / 2), "y": SVGValue(height / 2), "text-anchor": "middle"],
                    text: "The store is empty."))
        }
        for (group, tile) in zip(map.groups, tiles) where tile.area > 0 { svg.append(draw(group, in: tile)) }
        if let tile = tiles.last, tile.area > 0 {
            let title = "KV blocks: \(Quantity.bytes(map.kvBytes))"
            svg.append(
                SVGElement("g").titled(title).with(
                    Self.rect(tile, fill: "#cfe0ee", stroke: "#1b1f24"), Self.label(title, tile.inset(by: 5))))
        }
        svg.append(legend(colors))
        return svg
    }

    // MARK: Tiles

    private func draw(_ group: DiskMap.Group, in tile: Rectangle) -> SVGElement {
        let name = Self.name(group)
        var element = SVGElement("g").titled(Self.words(name, group.sum))
        let isShared = group.models.count > 1
        let hasLabel = tile.height >= 34 && tile.width >= 60
        let lines = hasLabel ? Self.label(of: group, in: tile) : []
        let inner = tile.inset(
            by: min(3, tile.width / 8, tile.height / 8), top: hasLabel ? 5 + 15 * Double(lines.count) : nil)
        // The frame of a group is as dark as its layers' lines are light, so that the two levels differ.
        element.append(Self.rect(tile, fill: isShared ? "#d7d2ea" : "#ffffff", stroke: "#1b1f24", width: 1.4))
        if group.layers.isEmpty || inner.area / Double(group.layers.count) < Self.leastLayer {
            element.append(Self.halves(group.sum, in: inner, stroke: "none"))
        } else {
            let tiles = Treemap.tiles(group.layers.map { Self.all($0.sum) }, in: inner)
            for (layer, tile) in zip(group.layers, tiles) where tile.area > 0 {
                element.append(draw(layer, of: name, in: tile, isLabeled: hasLabel))
            }
        }
        for (number, line) in lines.enumerated() {
            element.append(
                SVGElement(
                    "text",
                    [
                        "x": SVGValue(tile.x + 6), "y": SVGValue(tile.y + 15 + 15 * Double(number)),
                        "font-weight": number == 0 ? 600 : "normal", "fill": "#1b1f24",
                    ], text: line))
        }
        return element
    }

    /// - Parameter isLabeled: whether the tile may have the layer's number: without the model's name, it says nothing.
    private func draw(
        _ layer: DiskMap.Layer, of group: String, in tile: Rectangle, isLabeled: Bool
    ) -> SVGElement {
        let name = layer.layer.map { "layer \($0)" } ?? "outside layers"
        var element = SVGElement("g").titled(Self.words("\(group), \(name)", layer.sum))
        let shards = layer.shards
        var heat = Self.level(layer.sum.heat)
        if shards.isEmpty || tile.area / Double(shards.count) < Self.leastShard {
            element.append(Self.halves(layer.sum, in: tile, stroke: "#5d6670"))
        } else {
            let tiles = Treemap.tiles(shards.map { Double($0.bytes) }, in: tile)
            for (shard, tile) in zip(shards, tiles) where tile.area > 0 {
                let isPresent = shard.state == .present
                element.append(
                    Self.rect(
                        tile, fill: isPresent ? PictureColors.heat[Self.level(shard.heat)].fill : "url(#absent)",
                        stroke: "#a4abb3", width: 0.5
                    ).titled(
                        "\(group), \(name), \(shard.kind.rawValue) \(shard.digest.short): "
                            + "\(Quantity.bytes(shard.bytes)), "
                            + (isPresent ? Self.uses(shard.heat) : shard.state.rawValue)))
            }
            element.append(Self.rect(tile, fill: "none", stroke: "#5d6670", width: 1))
            // The label lies on the first tile, that of the largest shard.
            heat = shards.first.map { $0.state == .present ? Self.level($0.heat) : 0 } ?? heat
        }
        if layer.sum.bytes == 0 { heat = 0 }
        let label = layer.layer.map { tile.width >= 76 ? "layer \($0)" : "\($0)" } ?? "outside layers"
        if isLabeled, tile.height >= 16, TextFit.width(label, size: 11) <= tile.width - 6 {
            let isOnHatch = layer.sum.bytes == 0 || (shards.first.map { $0.state != .present } ?? false)
            if isOnHatch {
                element.append(
                    Self.rect(
                        Rectangle(
                            x: tile.x + 2, y: tile.y + 2, width: TextFit.width(label, size: 11) + 2, height: 13),
                        fill: "#ffffff", stroke: "none"))
            }
            element.append(
                SVGElement(
                    "text",
                    [
                        "x": SVGValue(tile.x + 4), "y": SVGValue(tile.y + 12), "font-size": 11,
                        "fill": PictureColors.heat[heat].text,
                    ], text: label))
        }
        return element
    }

    /// A tile that is divided no further: the bytes on disk, and those that are not.
    private static func halves(_ sum: DiskMap.Sum, in tile: Rectangle, stroke: SVGValue) -> SVGElement {
        let tiles = Treemap.tiles([Double(sum.bytes), Double(sum.absentBytes)], in: tile)
        var element = SVGElement("g")
        let fills = [PictureColors.heat[level(sum.heat)].fill, "url(#absent)"]
        for (tile, fill) in zip(tiles, fills) where tile.area > 0 {
            element.append(rect(tile, fill: fill, stroke: stroke, width: 0.8))
        }
        return element
    }

    private static let hatch = SVGElement(
        "pattern",
        [
            "id": "absent", "width": 7, "height": 7, "patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)",
        ]
    ).with(
        SVGElement("rect", ["width": 7, "height": 7, "fill": "#ffffff"]),
        SVGElement("line", ["y2": 7, "stroke": "#7b858f", "stroke-width": 3]))

    private static func rect(
        _ tile: Rectangle, fill: SVGValue, stroke: SVGValue, width: SVGValue = 1
    ) -> SVGElement {
        SVGElement(
            "rect",
            [
                "x": SVGValue(tile.x), "y": SVGValue(tile.y), "width": SVGValue(tile.width),
                "height": SVGValue(tile.height), "fill": fill, "stroke": stroke, "stroke-width": width,
            ])
    }

    private static func label(_ text: String, _ tile: Rectangle) -> SVGElement {
        let fitted = tile.height >= 13 ? TextFit.first([text, "KV"], size: 13, width: tile.width, isBold: true) : nil
        return SVGElement(
            "text", ["x": SVGValue(tile.x), "y": SVGValue(tile.y + 11), "font-weight": 600, "fill": "#1b1f24"],
            text: fitted ?? "")
    }

    // MARK: Words

    /// The name of a group.
    package static func name(_ group: DiskMap.Group) -> String {
        switch group.models.count {
        case 0: "in no model"
        case 1...3: group.models.joined(separator: " + ")
        default: group.models.prefix(2).joined(separator: " + ") + " + \(group.models.count - 2) more"
        }
    }

    /// The lines of a group's label. The models that share bytes have a line each if they do not fit in one.
    private static func label(of group: DiskMap.Group, in tile: Rectangle) -> [String] {
        let room = tile.width - 12
        let size = Quantity.bytes(bytes(group.sum))
        func first(_ texts: String...) -> [String] {
            TextFit.first(texts, size: 13, width: room, isBold: true).map { [$0] } ?? [""]
        }
        switch group.models.count {
        case 0: return first("in no model: \(size)", "in no model", "unused")
        case 1: return first("\(group.models[0]), \(size)", group.models[0], lastPart(group.models[0]))
        default:
            let whole = "shared by \(name(group)): \(size)"
            if TextFit.width(whole, size: 13, isBold: true) <= room { return [whole] }
            let count = "shared by \(group.models.count) models"
            let head = first("\(count): \(size)", count, "shared")
            guard tile.height >= 120, room >= 100 else { return head }
            let shown = group.models.count > 3 ? 2 : group.models.count
            let names = group.models.prefix(shown).map { model in
                TextFit.first([model, lastPart(model)], size: 13, width: room) ?? "…"
            }
            return head + names + (shown < group.models.count ? ["and \(group.models.count - shown) more"] : [])
        }
    }

    private static func lastPart(_ name: String) -> String {
        name.split(separator: "/").last.map(String.init) ?? name
    }

    private static func words(_ name: String, _ sum: DiskMap.Sum) -> String {
        name + ": \(Quantity.bytes(sum.bytes)) on disk"
            + (sum.absentBytes > 0 ? ", \(Quantity.bytes(sum.absentBytes)) not on disk" : "") + ", \(uses(sum.heat))"
    }

    /// A heat in words.
    package static func uses(_ heat: Double) -> String {
        heat < 0.01 ? "not used lately" : "\(Quantity.number(heat)) recent uses"
    }

    private static func bytes(_ sum: DiskMap.Sum) -> Int { sum.bytes.adding(saturating: sum.absentBytes) }
    private static func all(_ sum: DiskMap.Sum) -> Double { Double(sum.bytes) + Double(sum.absentBytes) }

    /// The steps of heat begin at none, one, ten and a hundred uses.
    private static func level(_ heat: Double) -> Int {
        heat < 0.01 ? 0 : heat < 1 ? 1 : heat < 10 ? 2 : heat < 100 ? 3 : 4
    }

    /// The largest groups in words, for readers who do not see the drawing.
    private var description: String {
        let largest = map.groups.prefix(20).map { Self.words(Self.name($0), $0.sum) }
        return ([summary] + largest).joined(separator: " ")
            + (map.groups.count > 20 ? " And \(map.groups.count - 20) smaller groups." : "")
    }

    // MARK: Legend

    private func legend(_ colors: PictureColors) -> SVGElement {
        var group = SVGElement("g")
        let y = height - Self.footer + 26
        func text(_ text: String, _ x: Double, weight: SVGValue = "normal") {
            group.append(
                SVGElement("text", ["x": SVGValue(x), "y": SVGValue(y + 5), "font-weight": weight], text: text))
        }
        func swatch(_ x: Double, _ fill: SVGValue, _ stroke: SVGValue = "#5d6670") {
            group.append(
                Self.rect(Rectangle(x: x, y: y - 9, width: 26, height: 18), fill: fill, stroke: stroke))
        }
        var x = 12.0
        text("Recent uses of a shard:", x, weight: "600")
        x += 172
        for (index, label) in ["none", "under 1", "1 to 10", "10 to 100", "over 100"].enumerated() {
            swatch(x, PictureColors.heat[index].fill)
            text(label, x + 32)
            x += 32 + TextFit.width(label, size: 13) + 18
        }
        swatch(x, "url(#absent)")
        text("not on disk", x + 32)
        x += 32 + 96
        swatch(x, "#d7d2ea", "#1b1f24")
        text("several models share it", x + 32)
        group.append(
            SVGElement(
                "text", ["x": 12, "y": SVGValue(y + 34), "font-size": 12],
                text:
                    "A frame is a model, or bytes that several models share. In it are layers, and in these shards. "
                    + "A use counts half after each day.")
        )
        return group
    }
}
