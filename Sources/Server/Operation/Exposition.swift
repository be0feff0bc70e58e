/// Metrics in the text format of Prometheus (version 0.0.4).
struct Exposition {
    private(set) var text = ""

    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ samples: [([(String, String)], Int)]) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
        for (labels, value) in samples {
            let labels = labels.map { "\($0)=\"\($1)\"" }.joined(separator: ",")
            text += "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(value)\n"
        }
    }

    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ value: Int) {
        add(name, kind, help, [([], value)])
    }

    enum Kind: String, CustomStringConvertible {
        case counter
        case gauge
        var description: String { rawValue }
    }
}
