import ArgumentParser
import WeightStore

struct Rebuild: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rebuild",
        abstract: "Create a new catalog from the blobs when store.db is lost or damaged.",
        discussion: """
            Models, revisions, refs, pins, prompts, origins and tensors are restored; access counts and KV blocks are \
            not. The old catalog is kept under another name. No other process may have the store open.
            """)

    @OptionGroup var options: StoreOptions

    func run() throws {
        let summary = try Store.rebuildBlocking(at: options.path)
        if options.json { return try Terminal.write(json: summary) }
        for lost in summary.lost { Terminal.printDiagnostic("\(lost.revision): lost: \(lost.reason)") }
        try Terminal.write(
            "\(Quantity.count(summary.models, "model")), \(Quantity.count(summary.revisions, "revision")), "
                + "\(Quantity.count(summary.refs, "ref")), \(Quantity.count(summary.prompts, "prompt")), \(Quantity.count(summary.tensors, "tensor")), "
                + "\(Quantity.count(summary.shards, "shard")) restored"
                + (summary.missing > 0 ? ", \(summary.missing) missing" : "")
                + (summary.unreferencedBlobs > 0 ? ", \(summary.unreferencedBlobs) unreferenced" : "")
                + (summary.old.map { "; the old catalog is \($0)" } ?? "") + "\n")
    }
}
