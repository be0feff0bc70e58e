import ArgumentParser
import WeightStore

struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "stats", abstract: "Show what the store holds in all.")

    @OptionGroup var options: StoreOptions

    func run() throws {
        let store = try options.open()
        let stats = try store.stats()
        if options.json { return try Terminal.write(json: stats) }
        try Terminal.write("""
            store      \(store.path)
            models     \(stats.models), \(counted(stats.revisions, "revision")), \(counted(stats.pins, "pin"))
            files      \(stats.files)
            tensors    \(stats.tensors)
            shards     \(stats.shards), \(ByteSize.text(stats.stored)), \(stats.damaged) damaged or missing
            KV         \(counted(stats.kvBlocks, "block")), \(ByteSize.text(stats.kvStored))
            reads      \(stats.accesses) of shards
            catalog    \(ByteSize.text(stats.catalog))
            disk       \(ByteSize.text(stats.available)) left
            processes  \(stats.processes.isEmpty ? "none but this" : stats.processes.joined(separator: ", "))

            """)
    }
}
