import WireFormats

/// The page `/`: the sections, of which the costly ones are loaded afterwards.
struct OverviewPage {
    /// The content of each section that is ready; the others are loaded afterwards.
    let ready: [(DashboardSection, HTML)]
    /// The sections of the page, in order.
    let all: [DashboardSection]

    var html: HTML {
        let sections: [HTML] = all.map { section in
            let content = ready.first { $0.0 == section }?.1
            return """
                <section aria-labelledby="\(section.rawValue)-title"><h2 id="\(section.rawValue)-title">\(section.title)</h2>
                \(content.map { Self.ready(section, $0) } ?? Self.later(section))</section>

                """
        }
        return "<h1 class=\"visually-hidden\">Overview of the store</h1>\(sections)"
    }

    private static func ready(_ section: DashboardSection, _ content: HTML) -> HTML {
        "<div id=\"\(section.element)\" data-live>\(content)</div>"
    }

    private static func later(_ section: DashboardSection) -> HTML {
        """
        <div id="\(section.element)" data-live data-load="\(section.address)?part=1">\
        <p class="nothing"><a href="\(section.address)">Show: \(section.title)</a></p></div>
        """
    }
}

extension DashboardSection {
    var title: String {
        switch self {
        case .tiers: "Tiers"
        case .activity: "The last day"
        case .disk: "Disk map"
        case .models: "Models"
        case .sizing: "How much disk?"
        case .fleet: "Fleet"
        case .events: "Recent events"
        }
    }

    /// The id of the element that has its content.
    var element: String { rawValue + "-body" }

    /// Whether the stream of changes has it, or reports that it has changed.
    var isLive: Bool {
        switch self {
        case .tiers, .activity, .models, .events: true
        case .disk, .sizing, .fleet: false
        }
    }

    /// Its address.
    var address: String { "/" + rawValue }
}
