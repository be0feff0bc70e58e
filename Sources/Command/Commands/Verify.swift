import ArgumentParser
import Synchronization
import WeightStore

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Read shards from the disk and compare them with their digests.",
        discussion: """
            A shard that differs is moved to quarantine, and the affected models are listed; importing the same \
            content again heals it. A shard whose right bytes are back is found again, and manifests and records are \
            checked and written anew from the catalog. Exit status 3 if a shard is damaged or missing.
            """)

    @Argument(help: "Only the shards of this revision.") var revision: String?
    @Option(help: ArgumentHelp("Only this share, the longest unverified first: 5%.", valueName: "share"))
    var sample: Share?
    @Option(help: ArgumentHelp("Only shards not verified for this long: 30d.", valueName: "time"))
    var olderThan: TimeSpan?
    @Option(help: ArgumentHelp("The most bytes per second to read: 100M.", valueName: "size"))
    var rate: ByteSize?
    @OptionGroup var options: StoreOptions

    func run() throws {
        var rule = VerifyRule()
        rule.revision = revision
        rule.sample = sample?.fraction
        rule.olderThanSeconds = olderThan?.seconds
        rule.bytesPerSecond = rate?.bytes
        let store = try options.open()
        let summary = try LongCall.run { try store.verifyBlocking(rule, work: $0) }
        try report(summary)
        if !summary.damage.isEmpty || !summary.known.isEmpty { throw ExitCode(ExitStatus.damaged.rawValue) }
    }

    private func report(_ summary: VerifySummary) throws {
        if options.json { return try Terminal.write(json: summary) }
        for damage in summary.damage + summary.known {
            Terminal.printDiagnostic(
                "shard \(damage.digest.short): \(damage.problem): \(damage.detail); affects "
                    + (damage.revisions.isEmpty ? "no revision" : damage.revisions.joined(separator: ", ")))
        }
        let bad = summary.damage.count + summary.known.count
        try Terminal.write(
            "\(Quantity.count(summary.shards, "shard")), \(Quantity.bytes(summary.bytes)) read; "
                + (summary.reinstated > 0 ? "\(Quantity.count(summary.reinstated, "shard")) found again; " : "")
                + (summary.rewritten > 0 ? "\(Quantity.count(summary.rewritten, "manifest")) written anew; " : "")
                + (summary.kvDropped > 0 ? "\(Quantity.count(summary.kvDropped, "KV block")) dropped; " : "")
                + (bad == 0
                    ? "all intact\n"
                    : "\(bad) damaged or missing: import or pull the listed models again to heal them\n")
        )
    }
}
