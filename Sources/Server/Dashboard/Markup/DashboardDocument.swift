/// A page: head, navigation, the patterns of the pictures, style and script.
///
/// Everything is in the page: it makes no further request until the script opens the stream of events. The content security
/// policy allows this style, this script, and requests to this server, and nothing else; there is no inline handler and no
/// style attribute.
struct DashboardDocument {
    let title: String
    /// What the navigation marks as current.
    let place: Place?
    /// The state of the store, for the header.
    let headline: HTML
    let content: HTML

    enum Place: String, CaseIterable {
        case overview = "/"
        case models = "/models"
        case disk = "/disk"
        case sizing = "/sizing"

        var title: String {
            switch self {
            case .overview: "Overview"
            case .models: "Models"
            case .disk: "Disk map"
            case .sizing: "How much disk?"
            }
        }
    }

    var html: HTML {
        let links: [HTML] = Place.allCases.map { place in
            let current: HTML = place == self.place ? " aria-current=\"page\"" : ""
            return "<li><a href=\"\(place.rawValue)\"\(current)>\(place.title)</a></li>"
        }
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><title>\(title)</title>
            <meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
            <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='%232a6fbb' d='M1 1h14v4H1zM1 6h9v4H1zM1 11h6v4H1z'/%3E%3C/svg%3E"><style>\(HTML(DashboardAsset.style))</style></head><body>
            <a class="skip" href="#main">Skip to the content</a>
            \(Self.patterns)
            <header class="top"><a class="brand" href="/">WeightStore</a>
            <nav aria-label="Pages"><ul>\(links)</ul></nav>
            <div class="state"><span id="headline">\(headline)</span>
            <span id="live" role="status" hidden></span><button id="pause" type="button" hidden>Pause</button></div></header>
            <main id="main" tabindex="-1">\(content)</main>
            <footer><a href="/metrics">Metrics</a> <a href="/api/weightstore/tiers">JSON</a></footer>
            <script type="module">\(HTML(DashboardAsset.script))</script></body></html>
            """
    }

    /// Second signs beside the colours.
    private static let patterns: HTML = """
        <svg class="patterns" width="0" height="0" aria-hidden="true"><defs>
        <pattern id="pattern-leased" width="6" height="6" patternUnits="userSpaceOnUse"><path class="ink" d="M0 3H6"/></pattern>
        <pattern id="pattern-pinned" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">\
        <path class="ink" d="M0 4H8"/></pattern>
        <pattern id="pattern-only" width="7" height="7" patternUnits="userSpaceOnUse"><circle class="ink-fill" cx="3.5" \
        cy="3.5" r="1.4"/></pattern>
        <pattern id="pattern-absent" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">\
        <path class="hatch" d="M0 4H8"/></pattern>
        <pattern id="pattern-loading" width="6" height="6" patternUnits="userSpaceOnUse"><path class="ink" d="M3 0V6"/></pattern>
        <pattern id="pattern-part" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">\
        <path class="ink" d="M0 3H6"/></pattern>
        <pattern id="pattern-1" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">\
        <path class="ink" d="M0 3H6"/></pattern>
        <pattern id="pattern-2" width="5" height="5" patternUnits="userSpaceOnUse"><circle class="ink-fill" cx="2.5" \
        cy="2.5" r="1.1"/></pattern>
        <pattern id="pattern-3" width="5" height="5" patternUnits="userSpaceOnUse"><path class="ink" d="M0 2.5H5"/></pattern>
        <pattern id="pattern-4" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">\
        <path class="ink" d="M0 3H6M3 0V6"/></pattern></defs></svg>
        """
}
