import ArgumentParser
import Foundation
import WeightStore

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Show what runs now: memory tiers and their hit ratio, fetches in progress, and who holds what.",
        discussion: """
            On a terminal the table is drawn again every second, until Ctrl-C. Otherwise it is printed once. A process \
            that was started less than a second ago, or cannot write to the store, shows no tiers.
            """
    ).examples("top", "top --once --json")

    @Flag(help: "Print the table once.") var once = false
    @OptionGroup var table: TableOptions
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let disk: DiskGauge
        /// What all processes counted in the last minutes.
        let recent: [ActivityValue]
        let processes: [ProcessStatistics]
    }

    /// The time between two pictures, and that of which the rates are, in seconds.
    private static let (interval, recentSeconds) = (1.0, 600)

    func run() throws {
        let store = try options.open()
        if options.json { return try Terminal.write(json: try answer(store)) }
        if once || !Terminal.isOutput { return try Terminal.write(Self.text(try answer(store))) }
        let work = Work()
        let registration = Signals.onStop(isSuccess: true) { work.cancel() }
        defer { withExtendedLifetime(registration) {} }
        while !work.isCancelled {
            // From the top left corner: each line is erased behind its end, and so are the lines below the last.
            let picture = Self.text(try answer(store)).replacing("\n", with: "\u{1B}[K\n")
            try Terminal.write("\u{1B}[H" + picture + "\u{1B}[J")
            Thread.sleep(forTimeInterval: Self.interval)
        }
    }

    private func answer(_ store: Store) throws -> Answer {
        let minutes = try store.activity(since: StoreClock.now - Self.recentSeconds)
        var sums: [ActivityKey: Double] = [:]
        for value in minutes.flatMap(\.values) { sums[value.key, default: 0] += value.value }
        // This process only looks.
        return Answer(
            disk: try store.diskGauge(), recent: sums.map { ActivityValue($0.key, $0.value) },
            processes: try store.liveProcesses().filter { $0.pid != Int(getpid()) })
    }

    private static func text(_ answer: Answer) -> String {
        var text = "disk  " + answer.disk.text.split(separator: "\n").joined(separator: "\n      ") + "\n"
        let places = answer.recent.places(of: .hits) + answer.recent.places(of: .misses)
        for place in Set(places).sorted() {
            let (hits, misses) = (answer.recent.sum(.hits, in: place), answer.recent.sum(.misses, in: place))
            text +=
                "\(place.printable): \(ratio(hits, misses)) hits of \(Quantity.amount(hits + misses)) uses in 10 minutes\n"
        }
        return text + tiers(answer) + fetches(answer) + holds(answer)
    }

    private static func tiers(_ answer: Answer) -> String {
        var table = Table("PID", "~PROGRAM", "USER", "TIER", "FILL", ">USED", ">BUDGET", ">LEASED", ">HITS", ">EVICTED")
        for process in answer.processes {
            let front = ["\(process.pid)", process.program, process.user]
            if process.tiers.isEmpty { table.add(cells: front + ["", "", "", "", "", "", ""]) }
            for tier in process.tiers {
                table.add(
                    cells: front + [
                        tier.name, bar(tier), Quantity.bytes(tier.bytes), Quantity.bytes(tier.budget),
                        Quantity.bytes(tier.leased), ratio(Double(tier.hits), Double(tier.misses)),
                        "\(tier.evictions)",
                    ])
            }
        }
        return "\n" + (table.isEmpty ? "No other process has the store open.\n" : table.text)
    }

    private static func fetches(_ answer: Answer) -> String {
        var table = Table("PID", "~FETCHING", "~FROM", ">BYTES", ">OF", ">SECONDS")
        for process in answer.processes {
            for fetch in process.fetches {
                table.add(
                    "\(process.pid)", fetch.model, fetch.origin, Quantity.bytes(fetch.bytes),
                    Quantity.bytes(fetch.total), "\(max(StoreClock.now - fetch.startedAt, 0))")
            }
        }
        return table.isEmpty ? "" : "\n" + table.text
    }

    private static func holds(_ answer: Answer) -> String {
        var table = Table("PID", "~HOLDS", "LEASED")
        for process in answer.processes {
            for hold in process.holds {
                let leased = hold.leased.sorted { $0.key < $1.key }.map { "\(Quantity.bytes($0.value)) in \($0.key)" }
                table.add("\(process.pid)", hold.revision, leased.joined(separator: ", "))
            }
        }
        return table.isEmpty ? "" : "\n" + table.text
    }

    /// `99.5%`; `-` without uses.
    private static func ratio(_ hits: Double, _ misses: Double) -> String {
        hits + misses > 0 ? Quantity.percent(hits / (hits + misses), decimals: 1) : "-"
    }

    /// The budget in 20 cells: leased, evictable, being loaded, free.
    private static func bar(_ tier: ProcessStatistics.Tier) -> String {
        let cells = 20
        func end(_ bytes: Int) -> Int {
            min(max(Int(saturating: (Double(bytes) / Double(max(tier.budget, 1)) * Double(cells)).rounded()), 0), cells)
        }
        let ends = [tier.leased, tier.bytes, tier.bytes.adding(saturating: tier.loading)].map(end)
        return (1...cells).map { $0 <= ends[0] ? "█" : $0 <= ends[1] ? "▓" : $0 <= ends[2] ? "▒" : "░" }.joined()
    }
}
