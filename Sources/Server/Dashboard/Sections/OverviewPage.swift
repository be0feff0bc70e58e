/// The page `/`: the sections, of which the costly ones are loaded afterwards.
struct OverviewPage {
    /// A section of the page.
    enum Section: String, CaseIterable {
        case tiers, activity, map, models, sizing, fleet, events

        var title: String {
            switch self {
            case .tiers: "Tiers"
            case .activity: "The last day"
            case .map: "Disk map"
            case .models: "Models"
            case .sizing: "How much disk?"
            case .fleet: "Fleet"
            case .events: "Recent events"
            }
        }

        /// The id of the element that has its content.
        var element: String { rawValue + "-body" }

        /// The address of the section alone, and of its part of the page.
        var address: String { self == .map ? "/disk" : "/\(rawValue)" }
    }

    /// The content of each section that is ready; the others are loaded afterwards.
    let ready: [(Section, HTML)]
    /// Sections that are loaded afterwards.
    let later: [Section]

    var html: HTML {
        let sections: [HTML] = Section.allCases.compactMap { section in
            if let content = ready.first(where: { $0.0 == section })?.1 {
                return Self.section(section, "<div id=\"\(section.element)\" data-live>\(content)</div>")
            }
            guard later.contains(section) else { return nil }
            return Self.section(
                section,
                """
                <div id="\(section.element)" data-load="\(section.address)?part=\(section.rawValue)">\
                <p class="nothing"><a href="\(section.address)">Show: \(section.title.lowercased())</a></p></div>
                """)
        }
        return "<h1 class=\"visually-hidden\">Overview of the store</h1>\(sections)"
    }

    static func section(_ section: Section, _ body: HTML) -> HTML {
        """
        <section aria-labelledby="\(section.rawValue)-title"><h2 id="\(section.rawValue)-title">\(section.title)</h2>
        \(body)</section>

        """
    }
}
