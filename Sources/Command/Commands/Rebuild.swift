import ArgumentParser
import WeightStore

struct Rebuild: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rebuild",
        abstract: "Create a new catalog from the blobs when store.db is lost or damaged.",
        discussion: """
            Models, revisions, refs, pins, prompts, origins and tensors are restored; access counts and KV blocks are \
            not. The old catalog is kept under another name. No other process may have the store open. Exit status 3 if \
            something is lost or missing. gc keeps all blobs that belong to no revision until the lost revisions are \
            imported again, or until gc --discard-newer.

            --merge keeps the catalog and adds the revisions of newer records in blobs/. Run it after you put back an \
            older store.db, such as one of weightstore backup.
            """
    ).examples("rebuild --merge")

    @Flag(help: "Add newer revisions to the existing catalog.") var merge = false

    @OptionGroup var options: StoreOptions

    func run() throws {
        let store = merge ? try options.open() : nil
        let summary = try LongCall.run(unit: .things("directories"), stopping: store) { work in
            try store?.mergeNewerBlocking(work: work)
                ?? Store.rebuildBlocking(at: options.path, work: work, logger: options.logger)
        }
        try report(summary)
        if !summary.lost.isEmpty || summary.missing > 0 { throw ExitCode(ExitStatus.damaged.rawValue) }
    }

    private func report(_ summary: RebuildSummary) throws {
        if options.json { return try Terminal.write(json: summary) }
        for lost in summary.lost { Terminal.printDiagnostic("\(lost.revision): lost: \(lost.reason)") }
        if summary.unreferencedBlobs > 0 {
            Terminal.printDiagnostic(
                "\(Quantity.count(summary.unreferencedBlobs, "blob")) (\(Quantity.bytes(summary.unreferencedBytes))) "
                    + "of no revision: KV blocks, leftovers of an interrupted import or pull, or a model whose record is "
                    + "lost. gc keeps them. Import or pull the models that are not listed; gc --discard-newer then frees "
                    + "the rest.")
        }
        try Terminal.write(
            "\(Quantity.count(summary.models, "model")), \(Quantity.count(summary.revisions, "revision")), "
                + "\(Quantity.count(summary.refs, "ref")), \(Quantity.count(summary.prompts, "prompt")), \(Quantity.count(summary.tensors, "tensor")), "
                + "\(Quantity.count(summary.shards, "shard")) \(merge ? "added" : "restored")"
                + (summary.missing > 0 ? ", \(summary.missing) missing" : "")
                + (summary.unreferencedBlobs > 0 ? ", \(summary.unreferencedBlobs) unreferenced" : "")
                + (summary.oldCatalog.map { "; the old catalog is \($0)" } ?? "") + "\n")
    }
}
