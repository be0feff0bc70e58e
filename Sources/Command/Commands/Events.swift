import ArgumentParser
import Foundation
import WeightStore

struct Events: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "List what happened in the store: imports, fetches, evictions, removals, refs that moved, damage.",
        discussion: "The store keeps the last 10,000 events. The oldest are printed first."
    ).examples("events --since 2h", "events -f --kind damage --kind origin", "events --model 'org/*' --json")

    @Flag(name: .shortAndLong, help: "Print further events as they happen, until Ctrl-C.") var follow = false
    @Option(help: ArgumentHelp("Only events of this time until now: 2h, 7d.", valueName: "time")) var since: TimeSpan?
    @Option(
        help: ArgumentHelp(
            "Only events of this kind: \(EventKind.allCases.map(\.rawValue).joined(separator: ", ")). May be repeated.",
            valueName: "kind"))
    var kind: [EventKind] = []
    @Option(
        help: ArgumentHelp("Only events about models that match a shell pattern: 'org/*'.", valueName: "pattern"),
        completion: .models)
    var model: String?
    @Option(help: ArgumentHelp("The most events, the newest ones.", valueName: "count")) var limit = 100
    @OptionGroup var table: TableOptions
    @OptionGroup var options: StoreOptions

    /// The time between two looks for further events.
    private static let interval = 0.5

    func validate() throws { try OptionRange.check("--limit", limit, 1...10_000, "the store keeps 10,000") }

    func run() throws {
        let store = try options.open()
        let kinds = kind.isEmpty ? nil : Set(kind)
        let since = since.map { StoreClock.now - $0.seconds } ?? 0
        var events = try store.events(since: since, kinds: kinds, subject: model, limit: limit)
        guard follow else { return try report(events) }
        // Later events may be of other kinds or models, and have to be looked at only once.
        var last = events.last?.id ?? 0
        let work = Work()
        let registration = Signals.onStop(isSuccess: true) { work.cancel() }
        defer { withExtendedLifetime(registration) {} }
        while true {
            try print(events)
            last = events.last?.id ?? last
            if work.isCancelled { return }
            Thread.sleep(forTimeInterval: Self.interval)
            events = try store.events(after: last, since: since, kinds: kinds, subject: model, limit: 10_000)
        }
    }

    private func report(_ events: [StoreEvent]) throws {
        if options.json { return try Terminal.write(json: events) }
        var table = Table("AT", "KIND", "~SUBJECT", ">BYTES", ">COUNT", "BY", "~DETAIL")
        for event in events {
            table.add(
                event.time, event.kind.rawValue, event.subject, event.bytes.map { Quantity.bytes($0) } ?? "",
                event.countText ?? "", event.process, event.detail)
        }
        if !table.isEmpty { try Terminal.write(table.text) }
    }

    /// Prints events as lines, which have no common widths: later ones are not known.
    private func print(_ events: [StoreEvent]) throws {
        for event in events {
            if options.json {
                try Terminal.write(JSONOutput.text(event, isLine: true))
            } else {
                try Terminal.write(event.line + "\n")
            }
        }
    }
}

extension EventKind: ExpressibleByArgument {}

extension StoreEvent {
    /// In the time zone of the terminal: `2026-11-27 05:31:42`.
    fileprivate var time: String {
        var moment = time_t(at)
        var parts = tm()
        localtime_r(&moment, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%d %H:%M:%S", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    fileprivate var process: String { "\(program) (\(pid), \(user))" }

    fileprivate var line: String {
        let facts = [bytes.map { Quantity.bytes($0) }, countText].compactMap(\.self)
        return [time, kind.rawValue, subject, facts.joined(separator: ", "), detail, "by \(process)"]
            .filter { !$0.isEmpty }.joined(separator: "  ").printable
    }
}
