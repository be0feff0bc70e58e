import Support

/// An event, as a line of the dashboard.
struct EventLine: Sendable, Encodable {
    /// Seconds since 1970.
    let time: Int
    let text: String
    /// `import`, `eviction`, `damage` …
    let kind: String
}

/// The last events, the newest first.
enum EventSection {
    static func html(_ events: [EventLine]) -> HTML {
        if events.isEmpty { return "<p class=\"nothing\">No event has been recorded.</p>" }
        let lines: [HTML] = events.map { event in
            """
            <li><time>\(Quantity.age(event.time))</time><span><span class="tag">\(event.kind)</span> \(event.text)</span></li>
            """
        }
        return "<ul class=\"events\">\(lines)</ul>"
    }
}
