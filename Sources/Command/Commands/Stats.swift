import ArgumentParser
import Server
import WeightStore

struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats", abstract: "Show the totals of the store.",
        discussion: """
            --prometheus prints the metrics of the store that "weightstore serve" has under /metrics, for the textfile \
            collector of Prometheus' node exporter on a machine without a server: write them to a file of another name, and \
            rename it.
            """
    ).examples("stats --json", "stats --prometheus > /var/lib/prometheus/node-exporter/weightstore.prom")

    @Flag(help: "Print the metrics of the store in the text format of Prometheus.") var prometheus = false
    @OptionGroup var options: StoreOptions

    func validate() throws {
        if prometheus, options.json { throw ValidationError("--prometheus has a format of its own; leave out --json") }
    }

    func run() throws {
        let store = try options.open()
        if prometheus { return try Terminal.write(Self.exposition(store)) }
        let stats = try store.stats()
        if options.json { return try Terminal.write(json: stats) }
        try Terminal.write(
            """
            store      \(store.path)
            models     \(stats.models), \(Quantity.count(stats.revisions, "revision")), \(Quantity.count(stats.pins, "pin"))
            files      \(stats.files)
            tensors    \(stats.tensors)
            shards     \(stats.shards), \(Quantity.bytes(stats.stored)), \(stats.damaged) damaged or missing
            KV         \(Quantity.count(stats.kvBlocks, "block")), \(Quantity.bytes(stats.kvStored))
            accesses   \(stats.accesses) of shards
            catalog    \(Quantity.bytes(stats.catalog))
            disk       \(Quantity.bytes(stats.available)) left
            processes  \(stats.processes.isEmpty ? "none but this" : stats.processes.joined(separator: ", "))

            """)
    }

    private static func exposition(_ store: Store) throws -> String {
        var text = Exposition()
        StoreMetrics.writeBuild((ProgramVersion.current, BuildFacts.commit ?? ""), to: &text)
        try StoreMetrics.write(store, (store.diskGauge(), StoreClock.now), to: &text)
        return text.text
    }
}
