import ArgumentParser
import WeightStore

struct Rebuild: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rebuild",
        abstract: "Make a new catalog from the blobs, when store.db is lost or damaged.",
        discussion: """
            Models, revisions, refs, pins, origins and tensors come back; access counts and KV blocks do not. The old \
            catalog is put aside. Nothing else may have the store open.
            """)

    @OptionGroup var options: StoreOptions

    func run() throws {
        let summary = try Store.rebuild(at: options.path)
        if options.json { return try Terminal.write(json: summary) }
        for lost in summary.lost { Terminal.complain("\(lost.revision): lost: \(lost.reason)") }
        try Terminal.write(
            "\(counted(summary.models, "model")), \(counted(summary.revisions, "revision")), "
                + "\(counted(summary.refs, "ref")), \(counted(summary.prompts, "prompt")), \(counted(summary.tensors, "tensor")), "
                + "\(counted(summary.shards, "shard")) back"
                + (summary.missing > 0 ? ", \(summary.missing) missing" : "")
                + (summary.strays > 0 ? ", \(summary.strays) that nothing names" : "")
                + (summary.old.map { "; the old catalog is \($0)" } ?? "") + "\n")
    }
}
