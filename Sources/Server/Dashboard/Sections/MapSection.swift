/// The treemap of the disk.
enum MapSection {
    /// Rectangles are laid out for this shape; the style sheet gives the picture the same.
    private static let (width, height) = (1000.0, 460.0)

    static func html(_ level: MapLevel) -> HTML {
        let boxes = Squarified.layout(
            level.tiles.map { Double($0.bytes) },
            in: .init(x: 0, y: 0, width: width, height: height))
        let tiles: [HTML] = zip(level.tiles, boxes).map { tile($0, $1) }
        let steps: [HTML] = level.path.map { "<li><a href=\"\($0.link)\" data-map>\($0.name)</a></li>" }
        let absent = level.absent > 0 ? ", \(Quantity.bytes(level.absent)) of them not on disk" : ""
        return """
            <nav class="path" aria-label="Level of the map"><ol>\(steps)\
            <li aria-current="true">\(level.title)</li></ol></nav>
            <p class="note">\(Quantity.bytes(level.bytes))\(absent). The area is the size.</p>
            \(level.tiles.isEmpty
                ? "<p class=\"nothing\">Nothing is stored.</p>"
                : "<svg class=\"map\" role=\"group\" aria-label=\"Map of \(level.title)\">\(tiles)</svg>")
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
            <ul class="legend" aria-label="Colours and patterns of the map"><li>Recent uses per byte, halved each day:</li>
            \(steps)
            <li><svg class="swatch" width="16" height="12" aria-hidden="true"><rect class="tile-ground" width="16" \
            height="12"/><rect width="16" height="12" fill="url(#pattern-absent)"/></svg> not on disk</li>
            <li><svg class="swatch" width="16" height="12" aria-hidden="true"><rect class="heat-1 shared" x="1" y="1" \
            width="14" height="10"/></svg> shared by several models</li></ul>
            """
    }

    private static func tile(_ tile: MapLevel.Tile, _ box: Squarified.Box) -> HTML {
        guard box.width > 0, box.height > 0 else { return "" }
        func percent(_ value: Double, of whole: Double) -> HTML { "\(value / whole * 100)%" }
        let present = tile.bytes > 0 ? Double(tile.bytes - min(tile.absent, tile.bytes)) / Double(tile.bytes) : 1
        let label: HTML =
            box.width > 64 && box.height > 24
            ? """
            <text class="tile-name" x="6" y="17">\(tile.name)</text>\
            \(box.height > 44
                ? "<text class=\"tile-detail\" x=\"6\" y=\"33\">\(Quantity.bytes(tile.bytes))</text>" : "")\
            \(box.height > 62 && !tile.detail.isEmpty
                ? "<text class=\"tile-detail\" x=\"6\" y=\"49\">\(tile.detail)</text>" : "")
            """ : ""
        let title = description(tile)
        let body: HTML = """
            <title>\(title)</title>\
            <rect class="heat-\(tile.heatClass)" width="100%" height="100%"/>\
            \(present < 1
                ? """
                <rect class="tile-ground" x="\(present * 100)%" width="\((1 - present) * 100)%" height="100%"/>\
                <rect x="\(present * 100)%" width="\((1 - present) * 100)%" height="100%" fill="url(#pattern-absent)"/>
                """ : "")\
            <rect class="tile-edge\(tile.isShared ? " shared" : "")" width="100%" height="100%"/>
            """
        let ink: HTML = "<g class=\"ink-\(present < 0.5 ? 0 : tile.heatClass)\">\(label)</g>"
        let frame: HTML = """
            <svg x="\(percent(box.x, of: width))" y="\(percent(box.y, of: height))" \
            width="\(percent(box.width, of: width))" height="\(percent(box.height, of: height))">\(body)\(ink)</svg>
            """
        guard let link = tile.link else { return frame }
        return "<a href=\"\(link)\" data-map aria-label=\"\(title)\">\(frame)</a>"
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
