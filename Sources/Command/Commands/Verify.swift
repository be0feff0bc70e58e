import ArgumentParser
import Synchronization
import WeightStore

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Read shards from the disk and compare them with their digests.",
        discussion: """
            A damaged shard is moved to quarantine, and the affected models are listed; importing the same content \
            again repairs it. A shard whose correct file is back becomes present again. Manifests and records are \
            checked, and rewritten from the catalog. For shards that are not stored, the report says whether an origin \
            has them: by the catalog, or with --origins by a check. In a read-only store, nothing is moved, rewritten or \
            recorded.

            Exit status 3 if a shard is damaged or missing, or was evicted and no origin has it; 12 if an origin could \
            not be checked.
            """)

    @Argument(help: "Only the shards of this revision.") var revision: String?
    @Option(help: ArgumentHelp("Only this share, the least recently verified first: 5%.", valueName: "share"))
    var sample: Share?
    @Option(help: ArgumentHelp("Only shards not verified for this long: 30d.", valueName: "time"))
    var olderThan: TimeSpan?
    @Option(help: ArgumentHelp("The most bytes per second to read: 100M.", valueName: "size"))
    var rate: ByteSize?
    @Flag(help: "Check that the origins hold the revisions.") var origins = false
    @OptionGroup var options: StoreOptions

    func validate() throws {
        try OptionRange.check("--rate", rate, atLeast: 1, "leave it out to read at full speed")
    }

    func run() throws {
        var rule = VerifyRule()
        rule.revision = revision
        rule.sample = sample?.fraction
        rule.olderThanSeconds = olderThan?.seconds
        rule.bytesPerSecond = rate?.bytes
        rule.checksOrigins = origins
        let store = try options.open()
        let summary = try LongCall.run(stopping: store) { try store.verifyBlocking(rule, work: $0) }
        try report(summary)
        if !summary.damage.isEmpty || !summary.known.isEmpty { throw ExitCode(ExitStatus.damaged.rawValue) }
        if summary.origins.contains(where: { $0.state == .unanswered }) {
            throw ExitCode(ExitStatus.unchecked.rawValue)
        }
    }

    private func report(_ summary: VerifySummary) throws {
        if options.json { return try Terminal.write(json: summary) }
        for outcome in summary.origins where outcome.state != .holds { Terminal.printDiagnostic(outcome.text) }
        for damage in summary.damage + summary.known {
            Terminal.printDiagnostic(
                "shard \(damage.digest.short): \(damage.problem): \(damage.detail); affects "
                    + (damage.revisions.isEmpty ? "no revision" : damage.revisions.joined(separator: ", ")))
        }
        let bad = summary.damage.count + summary.known.count
        var parts = ["\(Quantity.count(summary.shards, "shard")), \(Quantity.bytes(summary.bytes)) read"]
        if summary.reinstated > 0 { parts.append("\(Quantity.count(summary.reinstated, "shard")) found again") }
        if summary.rewritten > 0 { parts.append("\(Quantity.count(summary.rewritten, "manifest")) rewritten") }
        if summary.kvDropped > 0 { parts.append("\(Quantity.count(summary.kvDropped, "KV block")) dropped") }
        if bad > 0 {
            parts.append(
                "\(bad) damaged or missing"
                    + (summary.isReadOnly ? "" : ": import or pull the listed models again to heal them"))
        }
        if bad == 0, summary.shards > 0 || summary.absent.isEmpty {
            parts.append(summary.absent.isEmpty ? "all intact" : "these are intact")
        }
        parts += summary.absent.lines
        if summary.isReadOnly { parts.append("the store can only be read: nothing was moved or recorded") }
        try Terminal.write(parts.joined(separator: "; ") + "\n")
    }
}

extension AbsentShards {
    /// A phrase for each kind of absent bytes; empty if all bytes are stored.
    var lines: [String] {
        var lines: [String] = []
        func add(_ shards: Int, _ bytes: Int, _ text: String) {
            if shards > 0 { lines.append("\(Quantity.count(shards, "shard")), \(Quantity.bytes(bytes)) \(text)") }
        }
        add(shards, bytes, "not stored: an origin has them")
        add(uncheckedShards, uncheckedBytes, "not stored: their origins were never checked (weightstore origin check)")
        add(lostShards, lostBytes, "not stored: no origin has them")
        if neverFetched > 0 { lines.append("\(Quantity.bytes(neverFetched)) never fetched") }
        return lines
    }
}

extension OriginCheckOutcome {
    /// One line.
    var text: String {
        switch state {
        case .holds: "\(origin): holds \(revision)"
        case .lacks: "\(origin): does not hold \(revision): \(reason ?? "")"
        case .unanswered: "\(origin): could not be checked for \(revision): \(reason ?? "")"
        }
    }
}
