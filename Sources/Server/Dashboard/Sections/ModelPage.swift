import Support

/// The page of a model.
enum ModelPage {
    /// The id of the element that has what changes with the model.
    static let element = "model-body"

    static func html(_ model: ModelDetails) -> HTML {
        """
        <nav class="path" aria-label="Path"><ol><li><a href="/models">Models</a></li>\
        <li aria-current="page">\(model.name)</li></ol></nav>
        <h1>\(model.name)</h1>
        <div id="\(element)" data-live data-model="\(model.name)">\(body(model))</div>
        """
    }

    /// What changes with the model.
    static func body(_ model: ModelDetails) -> HTML {
        """
        \(figures(model))
        <section aria-labelledby="versions"><h2 id="versions">Versions</h2>\(versions(model))</section>
        <section aria-labelledby="layers"><h2 id="layers">Layers of the newest version</h2>\(strip(model.layers))
        <p class="note"><a href="\(map(model.name))">Treemap of its layers and shards</a></p></section>
        <section aria-labelledby="uses"><h2 id="uses">In use by</h2>\(uses(model))</section>
        <section aria-labelledby="origins"><h2 id="origins">Origins</h2>\(origins(model))</section>
        <section aria-labelledby="events"><h2 id="events">Last events</h2>\(EventSection.html(model.events))</section>
        """
    }

    /// The address of a model's level in the treemap.
    static func map(_ model: String) -> String { "/disk?model=\(PercentEncoding.encode(model, keepingSlashes: true))" }

    private static func figures(_ model: ModelDetails) -> HTML {
        let newest = model.versions.first
        let last = model.versions.compactMap(\.lastUse).max()
        let uses = model.versions.saturatingSum(\.uses)
        let shared =
            model.shared > 0 ? "\(Quantity.bytes(model.shared)) stay: other models share them" : "none of it is shared"
        let loss = model.origins.isEmpty ? "; this is the only known copy" : ""
        let frees: HTML =
            if let frees = model.frees {
                "\(Quantity.bytes(frees))<small>\(model.removalNote ?? shared + loss)</small>"
            } else {
                "not now<small>\(model.removalNote ?? "")</small>"
            }
        return """
            <dl class="figures"><div><dt>Newest version</dt><dd>\(newest?.name ?? "–")\
            <small>\(Quantity.bytes(model.bytes))</small></dd></div>
            <div><dt>Not on disk</dt><dd>\(newest.map { $0.absent > 0 ? Quantity.bytes($0.absent) : "0" } ?? "–")\
            <small>\(newest?.partial ?? ((newest?.absent ?? 0) > 0 ? "fetched at the next use" : "whole"))</small></dd></div>
            <div><dt>Last use</dt><dd>\(last.map { Quantity.age($0) } ?? "never")<small>\(Quantity.count(uses, "use"))</small>\
            </dd></div>
            <div><dt>Removing it frees</dt><dd>\(frees)</dd></div></dl>
            """
    }

    private static func versions(_ model: ModelDetails) -> HTML {
        if model.versions.isEmpty { return "<p class=\"nothing\">No version is stored.</p>" }
        let rows: [HTML] = model.versions.map { version in
            let state =
                version.damaged > 0
                ? "\(Quantity.bytes(version.damaged)) damaged"
                : version.absent > 0 ? "\(Quantity.bytes(version.absent)) not here" : "whole"
            let pin: HTML? = version.pin.map { note in
                "<span class=\"tag pin\">pinned\(note.isEmpty ? "" : ": \(note)")</span>"
            }
            return """
                <tr><th scope="row">\(version.name)<small><code>\(version.digest)</code></small></th>\
                <td data-label="Refs">\(Tags.html(version.refs))\(pin)</td>\
                <td class="number" data-label="Size">\(Quantity.bytes(version.bytes))</td>\
                <td data-label="Differs from the one before">\(difference(version))</td>\
                <td data-label="On disk">\(state)</td>\
                <td class="number" data-label="Last use">\(version.lastUse.map { Quantity.age($0) } ?? "never")\
                <small>\(Quantity.count(version.uses, "use"))</small></td>\
                <td class="number" data-label="Stored">\(Quantity.age(version.stored))</td>\
                <td data-label="Source">\(version.source)</td></tr>
                """
        }
        let older: HTML =
            model.olderVersions > 0
            ? "<p class=\"note\">\(Quantity.count(model.olderVersions, "older version")) not shown.</p>" : ""
        return """
            <table class="models" aria-label="Versions"><thead><tr><th scope="col">Version</th><th scope="col">Refs</th>\
            <th scope="col" class="number">Size</th><th scope="col">Differs from the one before</th>\
            <th scope="col">On disk</th><th scope="col" class="number">Last use</th>\
            <th scope="col" class="number">Stored</th><th scope="col">Source</th></tr></thead>\
            <tbody>\(rows)</tbody></table>\(older)
            """
    }

    private static func difference(_ version: ModelDetails.Version) -> HTML {
        guard let added = version.added, let dropped = version.dropped else { return "–" }
        if added == 0, dropped == 0 { return "no bytes" }
        let share = version.bytes > 0 ? min(Double(added) / Double(version.bytes), 1) : 0
        return """
            <span class="presence"><svg class="mini" width="56" height="8" aria-hidden="true"><rect class="bar-ground" \
            width="56" height="8"/><rect class="here" width="\(share * 56)" height="8"/></svg>\
            <span>+\(Quantity.bytes(added)) −\(Quantity.bytes(dropped))</span></span>
            """
    }

    private static func strip(_ layers: [ModelDetails.Cell]) -> HTML {
        if layers.isEmpty { return "<p class=\"nothing\">No tensors are known.</p>" }
        let places: [ModelDetails.Cell.Place] = [.device, .ram, .disk, .part, .absent]
        let cells: [HTML] = layers.map { cell in
            let name = Int(decimal: cell.name) == nil ? cell.name : "layer \(cell.name)"
            let experts = cell.experts > 0 ? ", \(Quantity.count(cell.experts, "expert"))" : ""
            return """
                <li class="cell place-\(cell.place.rawValue)"><svg aria-hidden="true" width="100%" height="30">\
                <rect class="place-fill" width="100%" height="30"/>\(sign(cell.place))</svg>\
                <span>\(name)<small>\(Quantity.bytes(cell.bytes))\(experts)</small>\
                <small>\(words(cell))</small></span></li>
                """
        }
        let keys: [HTML] = places.filter { place in layers.contains { $0.place == place } }.map { place in
            """
            <li class="place-\(place.rawValue)"><svg class="swatch" width="16" height="12" aria-hidden="true">\
            <rect class="place-fill" width="16" height="12"/>\(sign(place))</svg> \(word(place))</li>
            """
        }
        return """
            <ul class="legend" aria-label="Places">\(keys)</ul><ol class="strip">\(cells)</ol>
            <p class="note">A layer is in memory if one tier of a process that uses this version has all of its tensors. The \
            colour shows its fastest place.</p>
            """
    }

    private static func sign(_ place: ModelDetails.Cell.Place) -> HTML {
        switch place {
        case .part: "<rect width=\"100%\" height=\"30\" fill=\"url(#pattern-part)\"/>"
        case .absent: "<rect width=\"100%\" height=\"30\" fill=\"url(#pattern-absent)\"/>"
        case .device: "<rect width=\"100%\" height=\"30\" fill=\"url(#pattern-leased)\"/>"
        case .ram, .disk: ""
        }
    }

    private static func word(_ place: ModelDetails.Cell.Place) -> String {
        switch place {
        case .device: "in device memory"
        case .ram: "in RAM"
        case .disk: "on disk"
        case .part: "partly on disk"
        case .absent: "not here"
        }
    }

    private static func words(_ cell: ModelDetails.Cell) -> String {
        switch cell.place {
        case .device, .ram: "in " + cell.tiers.map(TierState.label).joined(separator: ", ")
        case .part: "\(Quantity.percent(Double(cell.onDisk) / Double(max(cell.bytes, 1)))) on disk"
        case .disk, .absent: word(cell.place)
        }
    }

    private static func uses(_ model: ModelDetails) -> HTML {
        if model.uses.isEmpty { return "<p class=\"nothing\">No process uses it now.</p>" }
        let rows: [HTML] = model.uses.map { use in
            """
            <tr><th scope="row">\(use.process)</th><td data-label="Version">\(use.version)</td>\
            <td data-label="Leased">\(lines(use.leased))</td>\
            <td data-label="Resident layers">\(use.layers.map(lines) ?? "not known")</td></tr>
            """
        }
        return """
            <table class="models plain" aria-label="Processes"><thead><tr><th scope="col">Process</th><th scope="col">Version</th>\
            <th scope="col">Leased</th><th scope="col">Resident layers</th></tr></thead>\
            <tbody>\(rows)</tbody></table>
            """
    }

    /// A line for each text.
    private static func lines(_ texts: [String]) -> HTML {
        texts.isEmpty ? "–" : texts.dropFirst().reduce(HTML(texts[0])) { "\($0)<br>\($1)" }
    }

    private static func origins(_ model: ModelDetails) -> HTML {
        if model.origins.isEmpty {
            return """
                <p class="nothing">No origin: this store has the only known copy, and evicts none of it.</p>
                """
        }
        let rows: [HTML] = model.origins.map { origin in
            let answer: HTML =
                if let checked = origin.checked, checked >= origin.absent ?? 0 {
                    HealthMark.html(.good, word: "has it", ["answered \(Quantity.age(checked))"])
                } else if let absent = origin.absent {
                    HealthMark.html(.critical, word: "lacks it", ["answered \(Quantity.age(absent))"])
                } else {
                    HealthMark.html(.warning, word: "never checked", [])
                }
            return """
                <tr><th scope="row">\(origin.url)</th><td>\(answer)</td>\
                <td class="number">\(origin.holds) of \(origin.versions)</td></tr>
                """
        }
        return """
            <div class="scroll" tabindex="0" role="region" aria-label="Table of origins"><table class="plain"><thead><tr>\
            <th scope="col">Origin</th><th scope="col">Last answer</th><th scope="col" class="number">Versions held</th></tr>\
            </thead><tbody>\(rows)</tbody></table></div>
            """
    }
}
