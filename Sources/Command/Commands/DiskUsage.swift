import ArgumentParser
import WeightStore

struct DiskUsage: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "du", abstract: "Show the size of each model, and the savings by deduplication.",
        discussion: """
            LOGICAL: all files of all revisions. STORED: their distinct shards. SHARED: the part of STORED that other \
            models also contain. OWN: the bytes that removing the model would free.
            """)

    @OptionGroup var options: StoreOptions

    func run() throws {
        let usage = try options.open().usage()
        if options.json { return try Terminal.write(json: usage) }
        var table = Table("MODEL", ">REVISIONS", ">LOGICAL", ">STORED", ">SHARED", ">OWN")
        for model in usage.models {
            table.add(
                model.model, "\(model.revisions)", Quantity.bytes(model.logical), Quantity.bytes(model.stored),
                Quantity.bytes(model.shared), Quantity.bytes(model.own))
        }
        let saved = max(usage.logical + usage.orphaned - usage.stored - usage.evicted, 0)
        let share = usage.logical > 0 ? Int(saturating: (Double(saved) / Double(usage.logical) * 100).rounded()) : 0
        try Terminal.write(
            table.text + "\(Quantity.bytes(usage.logical)) of files in \(Quantity.bytes(usage.stored)) of shards: "
                + "\(Quantity.bytes(saved)) (\(share)%) saved"
                + (usage.orphaned > 0 ? "; \(Quantity.bytes(usage.orphaned)) unreferenced" : "")
                + (usage.evicted > 0 ? "; \(Quantity.bytes(usage.evicted)) evicted" : "")
                + (usage.kv > 0 ? "; and \(Quantity.bytes(usage.kv)) of KV blocks" : "") + "\n")
    }
}
