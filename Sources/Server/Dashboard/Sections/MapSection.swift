import Pictures
import Support

/// The treemap of the disk.
enum MapSection {
    static func html(_ level: MapLevel) -> HTML {
        let layouts = [MapLayout.Screen.wide, .phone].map { MapLayout(level, on: $0) }
        let pictures: [HTML] = layouts.map { picture($0, of: level) }
        let exception: HTML = layouts.allSatisfy(\.isToScale) ? "" : ", except for that of the others"
        let steps: [HTML] = level.path.map { "<li><a href=\"\($0.link)\" data-map>\($0.name)</a></li>" }
        let absent = level.absent > 0 ? ", \(Quantity.bytes(level.absent)) of them not on disk" : ""
        return """
            <nav class="path" aria-label="Level of the map"><ol>\(steps)\
            <li aria-current="true">\(level.title)</li></ol></nav>
            <p class="note">\(Quantity.bytes(level.bytes))\(absent). A rectangle's area is its size\(exception); its colour shows how \
            often it is used. \(level.tiles.contains { $0.link != nil } ? "Select one to look inside." : "")</p>
            \(level.tiles.isEmpty
                ? "<p class=\"nothing\">Nothing is stored.</p>"
                : "\(pictures)")
            \(legend)
            \(table(level))
            """
    }

    private static var legend: HTML {
        let steps: [HTML] = MapLevel.heatLabels.enumerated().map { number, label in
            """
            <li><svg class="swatch" width="16" height="12" aria-hidden="true"><rect class="heat-\(number)" width="16" \
            height="12"/></svg> \(label)</li>
            """
        }
        return """
            <ul class="legend" aria-label="Colours and patterns of the map"><li>Uses, each counted half for every day since:</li>
            \(steps)
            <li><svg class="swatch" width="16" height="12" aria-hidden="true"><rect class="tile-ground" width="16" \
            height="12"/><rect width="16" height="12" fill="url(#pattern-absent)"/></svg> not on disk</li>
            <li><svg class="swatch" width="16" height="12" aria-hidden="true"><rect class="heat-1 shared" x="1" y="1" \
            width="14" height="10"/></svg> shared by several models</li></ul>
            """
    }

    /// The style sheet shows the picture for the screen.
    private static func picture(_ layout: MapLayout, of level: MapLevel) -> HTML {
        let tiles: [HTML] = layout.tiles.map { tile($0.tile, $0.box, on: layout.screen) }
        return """
            <svg class="map \(layout.screen.style)" role="group" aria-label="Map of \(level.title)">\(tiles)</svg>
            """
    }

    private static func tile(_ tile: MapLevel.Tile, _ box: Rectangle, on screen: MapLayout.Screen) -> HTML {
        guard box.width > 0, box.height > 0 else { return "" }
        func percent(_ value: Double, of whole: Double) -> HTML { "\(value / whole * 100)%" }
        let present = tile.bytes > 0 ? Double(tile.bytes - min(tile.absent, tile.bytes)) / Double(tile.bytes) : 1
        // The hatched part is below, and above if it is the larger one: the text is on the larger part.
        let isMostlyAbsent = present < 0.5
        let hatch: HTML? =
            present < 1
            ? """
            <rect class="tile-ground" y="\(isMostlyAbsent ? 0 : present * 100)%" width="100%" \
            height="\((1 - present) * 100)%"/>\
            <rect y="\(isMostlyAbsent ? 0 : present * 100)%" width="100%" height="\((1 - present) * 100)%" \
            fill="url(#pattern-absent)"/>
            """ : nil
        let title = description(tile)
        let frame: HTML = """
            <svg x="\(percent(box.x, of: screen.width))" y="\(percent(box.y, of: screen.height))" \
            width="\(percent(box.width, of: screen.width))" height="\(percent(box.height, of: screen.height))"><title>\(title)</title>\
            <rect class="heat-\(tile.heatClass)" width="100%" height="100%"/>\(hatch)\
            <rect class="tile-edge\(tile.isShared ? " shared" : "")" width="100%" height="100%"/>\
            \(label(tile, box, ink: isMostlyAbsent ? "absent" : "\(tile.heatClass)"))</svg>
            """
        guard let link = tile.link else { return frame }
        return "<a href=\"\(link)\" data-map aria-label=\"\(title)\">\(frame)</a>"
    }

    /// The texts that have room in a tile.
    private static func label(_ tile: MapLevel.Tile, _ box: Rectangle, ink: HTML) -> HTML {
        guard box.width > 40, box.height > 24 else { return "" }
        let lastPart = tile.name.byteParts("/").last ?? tile.name
        let name = line([tile.name, lastPart], "tile-name", y: "1.3em", box)
        // A number is not cut: it would be another one.
        let size = box.height > 44 ? line([Quantity.bytes(tile.bytes), ""], "tile-detail", y: "2.7em", box) : nil
        let detail = box.height > 62 ? line([tile.detail], "tile-detail", y: "4em", box) : nil
        return "<g class=\"ink-\(ink)\">\(name)\(size)\(detail)</g>"
    }

    /// The first of some texts that fits a tile.
    private static func line(_ texts: [String], _ style: HTML, y: HTML, _ box: Rectangle) -> HTML {
        let text = TextFit.first(texts, size: 11.5, width: box.width - 12, isBold: true) ?? ""
        return text.isEmpty ? "" : "<text class=\"\(style)\" x=\".5em\" y=\"\(y)\">\(text)</text>"
    }

    private static func description(_ tile: MapLevel.Tile) -> String {
        var parts = ["\(tile.name): \(Quantity.bytes(tile.bytes))"]
        if !tile.detail.isEmpty { parts.append(tile.detail) }
        if tile.absent > 0 { parts.append("\(Quantity.bytes(tile.absent)) not on disk") }
        parts.append(tile.heatClass == 0 ? "unused" : "\(Quantity.number(tile.heat)) recent uses")
        return parts.joined(separator: ", ")
    }

    /// The same in numbers.
    private static func table(_ level: MapLevel) -> HTML {
        if level.tiles.isEmpty { return "" }
        let rows: [HTML] = level.tiles.prefix(50).map { tile in
            let name: HTML = tile.link.map { "<a href=\"\($0)\" data-map>\(tile.name)</a>" } ?? HTML(tile.name)
            return """
                <tr><th scope="row">\(name)<small>\(tile.detail)</small></th><td>\(Quantity.bytes(tile.bytes))</td>\
                <td>\(tile.absent > 0 ? Quantity.bytes(tile.absent) : "–")</td>\
                <td>\(tile.heatClass == 0 ? "–" : Quantity.number(tile.heat))</td></tr>
                """
        }
        return """
            <details id="map-table"><summary>As a table\(level.tiles.count > 50 ? ": the 50 largest" : "")</summary>
            <div class="scroll" tabindex="0" role="region" aria-label="Map as a table"><table class="plain"><thead>\
            <tr><th scope="col">Name<th scope="col">Size<th scope="col">Not on disk<th scope="col">Recent uses</tr></thead>
            <tbody>\(rows)</tbody></table></div></details>
            """
    }
}
