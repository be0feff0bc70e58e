/// The forms of option values, for the report of a value that has another one.
enum ValueForm {
    private static let forms = [
        "size": "A size is 0 or more: 500000, 50G (decimal) or 64MiB (binary).",
        "time": "A time is a whole number of seconds, minutes, hours, days or weeks: 90s, 15m, 12h, 30d, 2w.",
        "share": "A share is above 0 and at most 100%: 5%, or 0.05.",
        "sizes": "Give two sizes, 10G..500G, or a list in ascending order, 10G,50G,100G.",
        "layers": "Give a number, or the first and the last: 3, or 0-11.",
        "experts": "Give a number, or the first and the last: 7, or 0-31.",
        "count": "A count is a whole number.",
        "number": "Give a whole number.",
        "port": "A port is between 0 and 65535.",
        "tier": "The tiers are ram, gpu, host, and devices such as cuda:0.",
        "kind": "The kinds are weights and kv.",
    ]

    /// The form of the value that a report of the parser names, as in `invalid for '--set <size>'`; nil for any other
    /// report.
    static func text(for report: String) -> String? {
        guard report.hasPrefix("The value "), let end = report.lastIndex(of: ">"),
            let start = report[..<end].lastIndex(of: "<")
        else { return nil }
        return forms[String(report[report.index(after: start)..<end])]
    }
}
