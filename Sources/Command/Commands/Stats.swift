import ArgumentParser
import WeightStore

struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "stats", abstract: "Show the totals of the store.")
        .examples("stats --json")

    @OptionGroup var options: StoreOptions

    func run() throws {
        let store = try options.open()
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
}
