import ArgumentParser
import WeightStore

struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove models, or with @ single revisions.",
        discussion: """
            If one of them is pinned or in use, nothing is removed. Before the removal, evicted shards are fetched that \
            other revisions need and for which these have no confirmed origin; if that fails, nothing is removed. The \
            processes that map deleted files are listed: the disk space is free once they unmap them.

            A name with *, ? or [ is a pattern: all models that match it. On a terminal, the removal of models by a \
            pattern must be confirmed.
            """
    ).examples("rm org/llama@~1", "rm 'test/*' --dry-run")

    @Argument(help: "Models or revisions, or patterns of models: 'org/*'.", completion: .revisions) var names: [String]
    @Flag(name: .shortAndLong, help: "Also remove pinned revisions.") var force = false
    @Flag(help: "Only show what would be removed.") var dryRun = false
    @Flag(name: .shortAndLong, help: "Skip the confirmation of patterns.") var yes = false
    @OptionGroup var options: StoreOptions

    func run() throws {
        let store = try options.open()
        let chosen = try names.flatMap { try Self.models(matching: $0, in: store) ?? [$0] }
        if !dryRun, !yes, Terminal.isInteractive, chosen != names {
            let plan = try LongCall.run(stopping: store) { work in
                try store.remove(chosen, force: force, dryRun: true, work: work)
            }
            try plan.report(dryRun: true, options)
            guard Terminal.confirm("Remove them?") else { throw ExitCode(ExitStatus.failed.rawValue) }
        }
        let summary = try LongCall.run(isSilent: true, stopping: store) { work in
            try store.remove(chosen, force: force, dryRun: dryRun, work: work)
        }
        try summary.report(dryRun: dryRun, options)
    }

    /// The models that match a pattern; nil if the name is no pattern.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` if none matches.
    private static func models(matching name: String, in store: Store) throws -> [String]? {
        guard name.utf8.contains(where: { "*?[".utf8.contains($0) }) else { return nil }
        let models = try store.models(matching: name).map(\.name)
        guard !models.isEmpty else {
            throw StorageError.notFound(
                kind: "model", name: name, detail: "No model matches the pattern. \"weightstore ls\" lists the models.")
        }
        return models
    }
}

struct Prune: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Remove revisions by rule.",
        discussion: """
            A revision is removed if it matches all given rules and no ref names it. --include-referenced also \
            removes revisions that refs name, but never the one that main names. Pinned revisions and revisions in use \
            are skipped and listed. Models keep their name and their next version number. On a terminal the removal \
            must be confirmed.
            """
    ).examples("prune --keep-last 2 --older-than 30d --dry-run")

    @Argument(help: "Only models that match a shell pattern: 'org/*'.", completion: .models) var pattern: String?
    @Flag(help: "Also remove revisions that a ref other than main names.") var includeReferenced = false
    @Option(
        help: ArgumentHelp("Only revisions not imported or read for this long: 12h, 30d, 2w.", valueName: "time"))
    var olderThan: TimeSpan?
    @Option(help: ArgumentHelp("Keep this many of the newest versions of each model.", valueName: "count"))
    var keepLast: Int?
    @Option(
        help: ArgumentHelp(
            "Remove the least recently used first, and stop at this size of the store: 200G.",
            valueName: "size"))
    var downTo: ByteSize?
    @Flag(help: "Only show what would be removed.") var dryRun = false
    @Flag(name: .shortAndLong, help: "Skip the confirmation.") var yes = false
    @OptionGroup var options: StoreOptions

    func validate() throws {
        try OptionRange.check("--keep-last", keepLast, 0...Int.max, "leave it out to keep no number of versions")
    }

    func run() throws {
        var rule = PruneRule()
        rule.models = pattern
        rule.includesReferenced = includeReferenced
        rule.olderThanSeconds = olderThan?.seconds
        rule.keepLast = keepLast
        rule.downToBytes = downTo?.bytes
        let store = try options.open()
        let summary = try LongCall.run(isSilent: true, stopping: store) { work in
            if !dryRun, !yes, Terminal.isInteractive {
                let plan = try store.prune(rule, dryRun: true, work: work)
                if plan.revisions.isEmpty { return plan }
                try plan.report(dryRun: true, options)
                guard Terminal.confirm("Remove them?") else { throw ExitCode(ExitStatus.failed.rawValue) }
            }
            return try store.prune(rule, dryRun: dryRun, work: work)
        }
        try summary.report(dryRun: dryRun, options)
    }
}

extension RemovalSummary {
    fileprivate func report(dryRun: Bool, _ options: StoreOptions) throws {
        if options.json { return try Terminal.write(json: self) }
        for revision in kept { Terminal.printDiagnostic("\(revision.revision): kept: \(revision.reason)") }
        if fetchedFirst > 0 {
            Terminal.printDiagnostic(
                "\(Quantity.count(fetchedFirst, "evicted shard")), \(Quantity.bytes(fetchedFirstBytes)), "
                    + "\(dryRun ? "would be " : "")fetched first: \(neededBy.joined(separator: ", ")) "
                    + "\(neededBy.count == 1 ? "needs them and has" : "need them and have") no origin for them")
        }
        let verb = dryRun ? "would be removed" : "removed"
        try Terminal.write(
            revisions.map { "\($0)\n" }.joined()
                + "\(Quantity.count(revisions.count, "revision")) \(verb)"
                + (kvBlocks > 0 ? ", with \(Quantity.count(kvBlocks, "KV block"))" : "")
                + (refs.isEmpty ? "" : ", with \(Quantity.count(refs.count, "ref")) (\(refs.joined(separator: ", ")))")
                + "; \(Quantity.count(shards, "shard")), \(Quantity.bytes(bytes)) \(dryRun ? "would be " : "")freed\n")
        for mapping in stillMapped {
            Terminal.printDiagnostic(
                "\(mapping.process) maps \(Quantity.bytes(mapping.bytes)) of deleted files: they stay on the disk until no "
                    + "tensor uses them, the process clears its tier ram, or it ends")
        }
    }
}
