import ArgumentParser
import WeightStore

struct DiskUsage: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "du", abstract: "Show what each model takes, and what deduplication saves.",
        discussion: """
            LOGICAL: all files of all revisions. STORED: the distinct shards under them. SHARED: of these, what \
            other models hold, too. OWN: what removing the model would free.
            """)

    @OptionGroup var options: StoreOptions

    func run() throws {
        let usage = try options.open().usage()
        if options.json { return try Terminal.write(json: usage) }
        var table = Table("MODEL", ">REVISIONS", ">LOGICAL", ">STORED", ">SHARED", ">OWN")
        for model in usage.models {
            table.add(
                model.model, "\(model.revisions)", ByteSize.text(model.logical), ByteSize.text(model.stored),
                ByteSize.text(model.shared), ByteSize.text(model.own))
        }
        let saved = max(usage.logical + usage.orphaned - usage.stored - usage.evicted, 0)
        let share = usage.logical > 0 ? Int((Double(saved) / Double(usage.logical) * 100).rounded()) : 0
        try Terminal.write(
            table.text + "\(ByteSize.text(usage.logical)) of files in \(ByteSize.text(usage.stored)) of shards: "
                + "\(ByteSize.text(saved)) (\(share)%) saved"
                + (usage.orphaned > 0 ? "; \(ByteSize.text(usage.orphaned)) of them unreferenced" : "")
                + (usage.evicted > 0 ? "; \(ByteSize.text(usage.evicted)) evicted" : "")
                + (usage.kv > 0 ? "; beside them \(ByteSize.text(usage.kv)) of KV blocks" : "") + "\n")
    }
}
