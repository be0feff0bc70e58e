import Support

/// The bars of the tiers: what their bytes are, their limits, and their health.
enum TierSection {
    static func html(_ tiers: [TierState], _ processes: [ProcessState]) -> HTML {
        let kinds = TierState.Kind.allCases.filter { kind in
            tiers.contains { tier in tier.parts.contains { $0.kind == kind && $0.bytes > 0 } }
        }
        return """
            <div class="tiers">\(tiers.map(bar))</div>
            <ul class="legend" aria-label="Parts of a tier">\(kinds.map(legend))</ul>
            \(list(processes))
            """
    }

    private static func legend(_ kind: TierState.Kind) -> HTML {
        """
        <li><svg class="swatch" width="16" height="12" aria-hidden="true"><rect class="part-\(kind.style)" \
        width="16" height="12"/>\(pattern(kind, "0", "100%", height: 12))</svg>
        <span>\(kind.label)</span> <small>\(kind.meaning)</small></li>
        """
    }

    /// The second sign beside the colour; none for the plain kinds.
    private static func pattern(_ kind: TierState.Kind, _ x: HTML, _ width: HTML, height: Int) -> HTML {
        switch kind {
        case .pinned, .onlyCopy, .leased, .loading:
            "<rect x=\"\(x)\" width=\"\(width)\" height=\"\(height)\" fill=\"url(#pattern-\(kind.style))\"/>"
        default: ""
        }
    }

    private static func bar(_ tier: TierState) -> HTML {
        // Without a limit, the bar ends where the bytes end; above the limit, it continues.
        let whole = Double(max(tier.limit ?? 0, tier.used, tier.parts.saturatingSum(\.bytes), 1))
        var position = 0.0
        var parts: [HTML] = []
        for part in tier.parts where part.bytes > 0 {
            let width = Double(part.bytes) / whole * 100
            let (x, size): (HTML, HTML) = ("\(position)%", "\(width)%")
            let title = "\(part.kind.label): \(Quantity.bytes(part.bytes))"
            parts.append(
                """
                <g><title>\(title)</title><rect class="part-\(part.kind.style)" x="\(x)" width="\(size)" height="28"/>\
                \(pattern(part.kind, x, size, height: 28))</g>
                """)
            position += width
        }
        let marks: [HTML] = tier.marks.map { mark in
            let x = min(Double(mark.bytes) / whole * 100, 100)
            // The label of the lowest mark is to its left, and no label leaves the bar: so they do not overlap.
            let isLowest = mark.bytes == tier.marks.map(\.bytes).min() && tier.marks.count > 1
            let isAtEnd = !isLowest && x > 80
            return """
                <line class="mark" x1="\(x)%" x2="\(x)%" y1="0" y2="33"/>\
                <text class="mark-label" x="\(isAtEnd ? 100 : x)%" dx="\(isAtEnd ? 0 : isLowest ? -3 : 3)" y="44" \
                text-anchor="\(isLowest || isAtEnd ? "end" : "start")">\(mark.label)</text>
                """
        }
        let words = tier.parts.filter { $0.bytes > 0 }
            .map { "\(Quantity.bytes($0.bytes)) \($0.kind.label.lowercased())" }
        let used = Quantity.bytes(tier.used)
        let sum = tier.limit.map { "\(used) of \(Quantity.bytes($0))" } ?? used
        let share = tier.limit.map { $0 > 0 ? "\(Quantity.percent(Double(tier.used) / Double($0)))" : "" } ?? "no quota"
        return """
            <article class="tier">
            <header><h3>\(tier.label)</h3> \(HealthMark.html(tier.health, tier.reasons))
            <span class="figure">\(sum)</span> <span class="dim">\(share)</span></header>
            <svg class="bar" role="img" width="100%" height="\(tier.marks.isEmpty ? 28 : 46)" \
            aria-label="\(tier.label): \(words.joined(separator: ", "))">\
            <rect class="bar-ground" width="100%" height="28"/>\(parts)\(marks)</svg>
            <p class="parts">\(words.isEmpty ? "empty" : words.map(unbroken).joined(separator: " · "))</p>
            \(tier.notes.map { "<p class=\"note\">\($0)</p>" as HTML })
            </article>
            """
    }

    /// The text without a line break.
    private static func unbroken(_ text: String) -> String {
        text.split(separator: " ").joined(separator: "\u{A0}")
    }

    private static func list(_ processes: [ProcessState]) -> HTML {
        if processes.isEmpty { return "" }
        let rows: [HTML] = processes.map { process in
            let opened = process.opened.map { Quantity.age($0) } ?? "–"
            let tiers = process.tiers.isEmpty ? "no tier open" : process.tiers.joined(separator: " · ")
            return "<tr><th scope=\"row\">\(process.name)</th><td>\(opened)</td><td>\(tiers)</td></tr>"
        }
        return """
            <details id="processes"><summary>Processes with the store open: \(processes.count)</summary>
            <div class="scroll" tabindex="0" role="region" aria-label="Processes"><table class="plain">
            <thead><tr><th scope="col">Process<th scope="col">Opened<th scope="col">Tiers</tr></thead>
            <tbody>\(rows)</tbody></table></div></details>
            """
    }
}

/// A mark for the state of a thing: a shape, a colour and a word.
enum HealthMark {
    /// - Parameter word: replaces `healthy`, `warning` or `critical`.
    static func html(_ health: TierState.Health, word: String? = nil, _ reasons: [String]) -> HTML {
        let (known, shape): (String, HTML) =
            switch health {
            case .good: ("healthy", "<circle cx=\"7\" cy=\"7\" r=\"5\"/>")
            case .warning: ("warning", "<path d=\"M7 1 13.5 12.5H.5Z\"/>")
            case .critical: ("critical", "<path d=\"M4.2 1h5.6L13 4.2v5.6L9.8 13H4.2L1 9.8V4.2Z\"/>")
            }
        return """
            <span class="health health-\(health.rawValue)"><svg width="14" height="14" viewBox="0 0 14 14" \
            aria-hidden="true">\(shape)</svg> \(word ?? known)\(reasons.isEmpty ? "" : ": ")\(reasons.joined(separator: "; "))</span>
            """
    }
}
