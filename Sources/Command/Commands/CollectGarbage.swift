import ArgumentParser
import Server
import WeightStore

struct CollectGarbage: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc", abstract: "Remove shards and files that nothing references. Made for cron.",
        discussion: """
            Unreferenced shards, and blobs that the catalog does not list, are removed after the grace period; staging \
            files of dead processes and quarantined blobs that are no longer needed are removed at once. Safe at any \
            time. Prints nothing if there is nothing to do. If another collection is running, reports that and exits \
            with 0. Directories of blobs that have not changed since the last collection are not read again, except once \
            a week and with --full. With --quota, the collection is followed by an eviction as by evict --down-to, with \
            its exit statuses.

            Nothing is removed if the blobs are not mounted, if the catalog is older than the blobs, or if many shards \
            are missing. After a rebuild, blobs that belong to no revision are kept. --discard-newer removes these \
            blobs, the revisions that the last rebuild could not read, and the revisions that an older catalog lacks. It \
            lists them first, and requires a confirmation.
            """
    ).examples("gc", "gc --grace 0 --dry-run", "gc --full")

    @Option(
        help: ArgumentHelp(
            "Keep unreferenced shards for this long, so that an interrupted import can resume: 12h, 1d.",
            valueName: "time"))
    var grace = TimeSpan(argument: "1d")!
    @Option(help: ArgumentHelp("Then evict down to this size: 200G.", valueName: "size")) var quota: ByteSize?
    @OptionGroup var choice: PolicyChoice
    @Flag(help: "Discard revisions newer than the catalog, and those that the last rebuild could not read or assign.")
    var discardNewer = false
    @Flag(help: "Skip the confirmation of --discard-newer.") var yes = false
    @Flag(help: "Compare all blobs with the catalog, not only those of directories that changed.") var full = false
    @Flag(help: "Only show what would be removed.") var dryRun = false
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let garbage: CollectionSummary
        let eviction: EvictionSummary
    }

    func validate() throws {
        try choice.check()
        if quota == nil && (choice.policy != nil || choice.policyFile != nil) {
            throw ValidationError("--policy and --policy-file require --quota")
        }
        if yes && !discardNewer { throw ValidationError("--yes requires --discard-newer") }
    }

    func run() throws {
        let store = try options.open()
        if discardNewer {
            let newer = try store.newerThanCatalog()
            for item in newer { Terminal.printDiagnostic("\(item.revision): would be discarded: \(item.reason)") }
            if dryRun { return }
            guard newer.isEmpty || yes || Terminal.confirm("Discard \(Quantity.count(newer.count, "item"))?") else {
                Terminal.printDiagnostic("Nothing was removed. --yes skips the confirmation.")
                throw ExitCode(ExitStatus.failed.rawValue)
            }
        }
        try JobLog.run("gc", in: store, isDryRun: dryRun) { try collect(store) }
    }

    /// - Returns: whether the job has run.
    private func collect(_ store: Store) throws -> Bool {
        let summary: CollectionSummary
        do {
            summary = try store.collectGarbage(
                graceSeconds: grace.seconds, discardingNewer: discardNewer, full: full, dryRun: dryRun)
        } catch let error as StorageError {
            guard case .busy = error else { throw error }
            Terminal.printDiagnostic("\(error) Nothing was removed.")
            return false
        }
        for path in summary.unknownFiles { Terminal.printDiagnostic("\(path): not a blob; left in place") }
        let eviction = try quota.map { try evict(store, downTo: $0.bytes) }
        for outcome in eviction?.unchecked ?? [] { Terminal.printDiagnostic("\(outcome.text). Its shards stay.") }
        try report(summary, eviction)
        guard let eviction, !dryRun || !eviction.unchecked.isEmpty else { return true }
        if !eviction.unchecked.isEmpty { throw ExitCode(ExitStatus.unchecked.rawValue) }
        if eviction.bytes < eviction.requested { throw ExitCode(ExitStatus.tooLittle.rawValue) }
        return true
    }

    private func report(_ summary: CollectionSummary, _ eviction: EvictionSummary?) throws {
        if options.json {
            return try eviction.map { try Terminal.write(json: Answer(garbage: summary, eviction: $0)) }
                ?? Terminal.write(json: summary)
        }
        if summary.missing > 0 {
            Terminal.printDiagnostic(
                "\(Quantity.count(summary.missing, "shard")) missing in "
                    + "\(summary.affectedRevisions.joined(separator: ", ")). Import or pull these models again.")
        }
        if summary.kept > 0 {
            Terminal.printDiagnostic(
                "\(Quantity.count(summary.kept, "unlisted blob")) kept: the last rebuild could not read everything, or "
                    + "could not assign them to a revision. Import or pull the models that are not listed; "
                    + "--discard-newer then frees the rest.")
        }
        for revision in summary.unrestorable {
            Terminal.printDiagnostic("\(revision): its manifest or record is missing; a rebuild would lose it")
        }
        let parts = [
            (summary.orphans, "unreferenced shard"), (summary.unreferencedBlobs, "unlisted blob"),
            (summary.staged, "staging file"),
            (summary.quarantined, "quarantined blob"), (summary.kvBlocks, "lost KV block"),
        ].filter { $0.0 > 0 }.map { Quantity.count($0.0, $0.1) }
        let healed = [
            (summary.reinstated, "shard", "found again"), (summary.rewritten, "manifest", "rewritten"),
        ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s") \($0.2)\n" }.joined()
        let evicted = healed + (eviction.map { $0.text(dryRun: dryRun) } ?? "")
        if parts.isEmpty { return try Terminal.write(evicted) }
        try Terminal.write(
            evicted
                + "\(Quantity.bytes(summary.bytes)) \(dryRun ? "would be " : "")freed: \(parts.joined(separator: ", "))\n"
        )
    }

    private func evict(_ store: Store, downTo bytes: Int) throws -> EvictionSummary {
        var request = EvictionRequest(.downTo(bytes))
        request.policy = try choice.policy(in: store)
        request.dryRun = dryRun
        return try LongCall.run(isSilent: true, stopping: store) { try store.evictBlocking(request, work: $0) }
    }
}
