import ArgumentParser
import Server
import WeightStore

struct Evict: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evict",
        abstract: "Free disk space: evict shards that an origin can supply again, or KV blocks. Made for cron.",
        discussion: """
            The files of evicted shards are deleted. The catalog still lists the shards, and the next use fetches them. \
            Shards of pinned revisions, of revisions in use by a process, and of revisions without an origin are never \
            evicted. Origins that were not checked within the last hour are checked first, also with --dry-run. If one \
            does not respond, the shards of its revisions are kept, and the exit status is 12. It is 13 if less was freed \
            than requested.

            Without --free and --down-to, eviction starts above the quota's high watermark and stops at the low one. \
            Prints nothing if there is nothing to do. With --kind kv, KV blocks are dropped, which engines can compute \
            again; those of superseded revisions first.
            """
    ).examples("evict --free 50G --dry-run")

    @Option(help: ArgumentHelp("The kind of shards: weights or kv.", valueName: "kind")) var kind = QuotaKind.weights

    @Option(help: ArgumentHelp("The tier: only disk. A memory tier belongs to its process.", valueName: "tier"))
    var tier = "disk"
    @Option(help: ArgumentHelp("Free this much: 50G.", valueName: "size")) var free: ByteSize?
    @Option(help: ArgumentHelp("Evict down to this size: 200G.", valueName: "size")) var downTo: ByteSize?
    @OptionGroup var choice: PolicyChoice
    @Flag(help: "Only show what would be evicted, and what cannot be.") var dryRun = false
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let eviction: EvictionSummary
        var disk: DiskGauge?
        var kv: KVGauge?
    }

    func validate() throws {
        if tier != "disk" {
            throw ValidationError("--tier \(tier): must be disk; a memory tier belongs to the process that opened it")
        }
        if free != nil && downTo != nil { throw ValidationError("--free and --down-to exclude each other") }
        try OptionRange.check("--free", free, atLeast: 1, "leave it out to evict as the quota requires")
        try choice.check()
    }

    func run() throws {
        let store = try options.open()
        try JobLog.run("evict", in: store, isDryRun: dryRun) { try evict(store) }
    }

    /// - Returns: whether the job has run.
    private func evict(_ store: Store) throws -> Bool {
        var request = EvictionRequest(
            free.map { .free($0.bytes) } ?? downTo.map { .downTo($0.bytes) } ?? .quota, of: kind)
        request.policy = try choice.policy(in: store)
        request.dryRun = dryRun
        let summary = try LongCall.run(isSilent: true, stopping: store) { try store.evictBlocking(request, work: $0) }
        for outcome in summary.unchecked {
            Terminal.printDiagnostic("\(outcome.text). Its shards stay.")
        }
        try report(summary, store)
        if !summary.unchecked.isEmpty { throw ExitCode(ExitStatus.unchecked.rawValue) }
        if !dryRun, summary.bytes < summary.requested { throw ExitCode(ExitStatus.tooLittle.rawValue) }
        return true
    }

    private func report(_ summary: EvictionSummary, _ store: Store) throws {
        if !dryRun {
            return try options.json ? Terminal.write(json: summary) : Terminal.write(summary.text(dryRun: false))
        }
        switch kind {
        case .weights:
            let gauge = try store.diskGauge()
            try options.json
                ? Terminal.write(json: Answer(eviction: summary, disk: gauge))
                : Terminal.write(text(of: summary) + gauge.text)
        case .kv:
            let gauge = try store.kvGauge()
            try options.json
                ? Terminal.write(json: Answer(eviction: summary, kv: gauge))
                : Terminal.write(text(of: summary) + gauge.text)
        }
    }

    private func text(of summary: EvictionSummary) -> String {
        let text = summary.text(dryRun: true)
        return text.isEmpty ? "Nothing would be evicted.\n" : text
    }
}

/// A policy by name, or from a file.
struct PolicyChoice: ParsableArguments {
    @Option(help: ArgumentHelp("The policy (weightstore policy ls).", valueName: "name"), completion: .policies)
    var policy: String?
    @Option(help: ArgumentHelp("A file with a policy: one SELECT.", valueName: "file"), completion: .file())
    var policyFile: String?

    func check() throws {
        if policy != nil && policyFile != nil { throw ValidationError("--policy and --policy-file exclude each other") }
    }

    /// - Returns: nil if none was chosen.
    func policy(in store: Store) throws -> Policy? {
        try policyFile.map { try Policy(file: $0) } ?? policy.map { try store.policy($0) }
    }
}

extension EvictionSummary {
    /// One line; empty if there was nothing to do.
    func text(dryRun: Bool) -> String {
        if requested == 0 { return "" }
        let would = dryRun ? "would be " : ""
        return "\(Quantity.bytes(bytes)) \(would)evicted: \(Quantity.count(shards, "shard")) by \(policy); "
            + (bytes < requested ? "\(Quantity.bytes(requested - bytes)) less than requested, " : "")
            + "\(Quantity.bytes(stored)) \(dryRun ? "would be left" : "left")\n"
    }
}

extension DiskGauge {
    var text: String {
        var text = "stored     \(Quantity.bytes(bytes)) in \(Quantity.count(shards, "shard"))"
        if let limit = quota.bytes { text += ", \(Quantity.percent(Double(bytes) / Double(limit))) of the quota" }
        return text + """

            evictable  \(Quantity.bytes(evictable)): every holder has an origin for these shards, and no process uses them
            in use     \(Quantity.bytes(inUse)): held by a process
            pinned     \(Quantity.bytes(pinned))
            kept       \(Quantity.bytes(withoutOrigin)): a holder has no checked origin; only rm and prune delete these shards
            evicted    \(Quantity.bytes(evicted)): fetched from an origin on the next use

            """
    }
}
