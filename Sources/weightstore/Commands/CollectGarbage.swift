import ArgumentParser
import WeightStore

struct CollectGarbage: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc", abstract: "Remove what nothing needs any more. Made for cron.",
        discussion: """
            Shards that nothing references go after the grace period; files without rows, staging leftovers of dead \
            processes and healed quarantine at once. Safe at any time. Silent when there is nothing to do; a second \
            run beside the first says so and ends with 0.
            """)

    @Option(
        help: ArgumentHelp(
            "How long the shards of an interrupted import are kept for it to go on.", valueName: "time"))
    var grace = TimeSpan(argument: "1d")!
    @Flag(help: "Say what would be removed, and remove nothing.") var dryRun = false
    @OptionGroup var options: StoreOptions

    func run() throws {
        let summary: CollectionSummary
        do {
            summary = try options.open().collectGarbage(graceSeconds: grace.seconds, dryRun: dryRun)
        } catch let error as StoreError {
            guard case .busy = error else { throw error }
            return Terminal.complain("\(error) Nothing to do here.")
        }
        for path in summary.strangers { Terminal.complain("\(path): no blob; left alone") }
        if options.json { return try Terminal.write(json: summary) }
        if summary.missing > 0 {
            Terminal.complain(
                "\(counted(summary.missing, "shard")) missing, hit: \(summary.hits.joined(separator: ", ")). Import them again.")
        }
        let parts = [
            (summary.orphans, "orphaned shard"), (summary.strays, "stray blob"), (summary.staged, "staging file"),
            (summary.quarantined, "healed blob"),
        ].filter { $0.0 > 0 }.map { counted($0.0, $0.1) }
        if parts.isEmpty { return }
        try Terminal.write(
            "\(ByteSize.text(summary.bytes)) \(dryRun ? "would be " : "")freed: \(parts.joined(separator: ", "))\n")
    }
}
