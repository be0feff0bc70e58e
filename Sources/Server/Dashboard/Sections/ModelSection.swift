import Support

/// The table of models: search, order and pages by parameters of the URL.
enum ModelSection {
    static func html(_ rows: [ModelRow], _ selection: ModelSelection) -> HTML {
        let result = selection.apply(to: rows)
        return """
            <form class="search" role="search" action="/" method="get">
            <label for="q">Search models</label>
            <input id="q" name="q" type="search" value="\(selection.search)" maxlength="200" autocomplete="off" \
            spellcheck="false" placeholder="name, ref, or state such as partial">
            \(selection.order == .name ? "" : "<input type=\"hidden\" name=\"sort\" value=\"\(selection.order.rawValue)\">")
            \(selection.isDescending ? "<input type=\"hidden\" name=\"dir\" value=\"desc\">" : "")
            <button>Search</button></form>
            <div id="rows">\(body(result, selection, total: rows.count))</div>
            """
    }

    /// The part below the search, which changes with it.
    static func rows(_ rows: [ModelRow], _ selection: ModelSelection) -> HTML {
        body(selection.apply(to: rows), selection, total: rows.count)
    }

    private static func body(
        _ result: (rows: [ModelRow], matches: Int, page: Int, pages: Int), _ selection: ModelSelection, total: Int
    ) -> HTML {
        if total == 0 {
            return """
                <p class="nothing">The store has no models yet. <code>weightstore import</code> and \
                <code>weightstore pull</code> add one.</p>
                """
        }
        let found =
            selection.search.isEmpty
            ? Quantity.count(total, "model") : "\(result.matches) of \(Quantity.count(total, "model"))"
        if result.rows.isEmpty {
            return """
                <p class="note" role="status">\(found)</p>
                <p class="nothing">No model matches “\(selection.search)”. <a href="/">Show all</a></p>
                """
        }
        return """
            <p class="note" role="status">\(found)</p>
            <table class="models" aria-label="Models"><thead><tr>\
            \(header("Model", .name, selection))\(header("Size", .size, selection, isNumber: true))\
            \(header("On disk", .here, selection))<th scope="col">Version</th><th scope="col">Refs</th>\
            \(header("Uses", .uses, selection, isNumber: true))\(header("Last use", .used, selection, isNumber: true))\
            \(header("Stored", .stored, selection, isNumber: true))</tr></thead>
            <tbody>\(result.rows.map(row))</tbody></table>
            \(pages(result.page, result.pages, selection))
            """
    }

    private static func header(
        _ title: String, _ order: ModelSelection.Order, _ selection: ModelSelection, isNumber: Bool = false
    ) -> HTML {
        let isSorted = selection.order == order
        let isDescending = isSorted ? !selection.isDescending : order.isDescendingFirst
        let link = selection.query(order: order, isDescending: isDescending)
        let sort: HTML =
            isSorted ? " aria-sort=\"\(selection.isDescending ? "descending" : "ascending")\"" : ""
        let sign: HTML =
            isSorted ? "<span aria-hidden=\"true\"> \(selection.isDescending ? "▼" : "▲")</span>" : ""
        return """
            <th scope="col"\(isNumber ? " class=\"number\"" : "")\(sort)><a href="\(link)" data-rows>\(title)\(sign)</a></th>
            """
    }

    private static func row(_ row: ModelRow) -> HTML {
        let link = "/models/\(PercentEncoding.encode(row.name, keepingSlashes: true))"
        let version: HTML = row.version.map { "~\($0)" } ?? "–"
        let more: HTML = row.revisions > 1 ? " <small>of \(row.revisions)</small>" : ""
        let pin: HTML = row.isPinned ? " <span class=\"tag pin\">pinned</span>" : ""
        return """
            <tr><th scope="row"><a href="\(link)">\(row.name)</a></th>\
            <td class="number" data-label="Size">\(row.revisions > 0 ? Quantity.bytes(row.bytes) : "–")</td>\
            <td data-label="On disk">\(presence(row))</td>\
            <td data-label="Version">\(version)\(more)</td>\
            <td data-label="Refs">\(Tags.html(row.refs, most: 4))\(pin)</td>\
            <td class="number" data-label="Uses">\(Quantity.amount(Double(row.uses)))</td>\
            <td class="number" data-label="Last use">\(row.lastUse.map { Quantity.age($0) } ?? "never")</td>\
            <td class="number" data-label="Stored">\(Quantity.age(row.stored))</td></tr>
            """
    }

    private static func presence(_ row: ModelRow) -> HTML {
        if row.revisions == 0 { return "–" }
        return """
            <span class="presence"><svg class="mini" width="56" height="8" aria-hidden="true">\
            <rect class="bar-ground" width="56" height="8"/>\
            <rect class="\(row.damaged > 0 ? "bad" : "here")" width="\(row.present * 56)" height="8"/></svg>\
            <span>\(row.state == "partial" ? Quantity.percent(row.present) : row.state)</span></span>
            """
    }

    private static func pages(_ page: Int, _ pages: Int, _ selection: ModelSelection) -> HTML {
        if pages == 1 { return "" }
        let numbers = Set([1, page - 1, page, page + 1, pages]).filter { 1...pages ~= $0 }.sorted()
        var items: [HTML] = []
        var last = 0
        for number in numbers {
            if number > last + 1 { items.append("<li aria-hidden=\"true\">…</li>") }
            items.append(
                number == page
                    ? "<li><a href=\"\(selection.query(page: number))\" data-rows aria-current=\"page\">\(number)</a></li>"
                    : "<li><a href=\"\(selection.query(page: number))\" data-rows>\(number)</a></li>")
            last = number
        }
        let (before, after) = (selection.query(page: page - 1), selection.query(page: page + 1))
        let back: HTML = page > 1 ? "<li><a href=\"\(before)\" data-rows rel=\"prev\">Previous</a></li>" : ""
        let on: HTML = page < pages ? "<li><a href=\"\(after)\" data-rows rel=\"next\">Next</a></li>" : ""
        return "<nav class=\"pages\" aria-label=\"Pages of models\"><ul>\(back)\(items)\(on)</ul></nav>"
    }
}

/// Refs, as small labels.
enum Tags {
    static func html(_ names: [String], most: Int = .max) -> HTML {
        let shown: [HTML] = names.prefix(most).map { "<span class=\"tag\">\($0)</span> " }
        let rest: HTML = names.count > most ? "<small>+\(names.count - most)</small>" : ""
        return names.isEmpty ? "–" : shown.reduce("", +) + rest
    }
}
