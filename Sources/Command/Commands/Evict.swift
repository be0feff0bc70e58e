import ArgumentParser
import Server
import WeightStore

struct Evict: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evict",
        abstract: "Free disk by evicting shards that an origin can give back, or KV blocks. Made for cron.",
        discussion: """
            Rows stay, files go, and the next use fetches them. Pinned revisions, revisions that a living process holds, and \
            what no origin has are never touched. Without --free or --down-to it does what the quota says: nothing below its \
            high watermark, and down to the low one above it. Silent when there is nothing to do. With --kind kv it drops KV \
            blocks, which their engines can compute again; those of superseded revisions first.
            """)

    @Option(help: ArgumentHelp("Which shards: weights, or kv.", valueName: "kind")) var kind = QuotaKind.weights

    @Option(help: ArgumentHelp("Which tier. Memory tiers belong to the processes that open them.", valueName: "tier"))
    var tier = "disk"
    @Option(help: ArgumentHelp("Free so much: 50G.", valueName: "size")) var free: ByteSize?
    @Option(help: ArgumentHelp("Evict until so much is left: 200G.", valueName: "size")) var downTo: ByteSize?
    @OptionGroup var choice: PolicyChoice
    @Flag(help: "Say what would go, and what may not, and evict nothing.") var dryRun = false
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let eviction: EvictionSummary
        var disk: DiskGauge?
        var kv: KVGauge?
    }

    func validate() throws {
        if tier != "disk" {
            throw ValidationError("--tier: only disk; a memory tier belongs to the process that opened it")
        }
        if free != nil && downTo != nil { throw ValidationError("--free or --down-to, not both") }
        try choice.check()
    }

    func run() throws {
        let store = try options.open()
        var request = EvictionRequest(
            free.map { .free($0.bytes) } ?? downTo.map { .downTo($0.bytes) } ?? .quota, of: kind)
        request.policy = try choice.policy(in: store)
        request.dryRun = dryRun
        let summary = try store.evictBlocking(request)
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
    @Option(help: ArgumentHelp("A policy by name (weightstore policy ls).", valueName: "name")) var policy: String?
    @Option(help: ArgumentHelp("A policy of your own: one SELECT.", valueName: "file"), completion: .file())
    var policyFile: String?

    func check() throws {
        if policy != nil && policyFile != nil { throw ValidationError("--policy or --policy-file, not both") }
    }

    /// - Returns: nil if none was chosen.
    func policy(in store: Store) throws -> Policy? {
        try policyFile.map { try Policy(file: $0) } ?? policy.map { try store.policy($0) }
    }
}

extension EvictionSummary {
    /// One line, or nothing if nothing was to be done.
    func text(dryRun: Bool) -> String {
        if wanted == 0 { return "" }
        let would = dryRun ? "would be " : ""
        return "\(Quantity.bytes(bytes)) \(would)evicted: \(Quantity.count(shards, "shard")) by \(policy); "
            + (bytes < wanted ? "\(Quantity.bytes(wanted - bytes)) less than wanted, " : "")
            + "\(Quantity.bytes(stored)) \(dryRun ? "would be left" : "left")\n"
    }
}

extension DiskGauge {
    var text: String {
        var text = "stored     \(Quantity.bytes(bytes)) in \(Quantity.count(shards, "shard"))"
        if let limit = quota.bytes { text += ", \(Int((Double(bytes) / Double(limit) * 100).rounded()))% of the quota" }
        return text + """

            evictable  \(Quantity.bytes(evictable)): an origin has it, and no process uses it
            in use     \(Quantity.bytes(inUse)): a process holds it
            pinned     \(Quantity.bytes(pinned))
            kept       \(Quantity.bytes(withoutOrigin)): no origin has it; it goes when a person removes the model
            evicted    \(Quantity.bytes(evicted)): comes back from its origin on the next use

            """
    }
}
