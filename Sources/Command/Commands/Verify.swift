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

            --against compares the files of a revision with those that a hub lists: their sizes, and the digests that the \
            hub publishes. It fetches no bytes, and reads only small files here. It lists the files that differ or that \
            only one side has.

            Exit status 3 if a shard is damaged or missing, or was evicted and no origin has it, or if a file differs from \
            the hub's; 12 if an origin or a file could not be checked.
            """
    ).examples("verify --sample 5% --rate 200M", "verify org/llama --against https://huggingface.co")

    @Argument(help: "Only the shards of this revision.", completion: .revisions) var revision: String?
    @Option(help: ArgumentHelp("Compare with the files of this hub: https://huggingface.co.", valueName: "url"))
    var against: String?
    @Option(
        help: ArgumentHelp(
            "The hub's branch, tag or commit for --against (default: the commit that was pulled; main for a revision that "
                + "was imported).", valueName: "revision"))
    var at: String?
    @Option(help: ArgumentHelp("Only this share, the least recently verified first: 5%.", valueName: "share"))
    var sample: Share?
    @Option(help: ArgumentHelp("Only shards not verified for this long: 30d.", valueName: "time"))
    var olderThan: TimeSpan?
    @Option(help: ArgumentHelp("The most bytes per second to read: 100M.", valueName: "size"))
    var rate: ByteSize?
    @Flag(help: "Check that the origins hold the revisions.") var origins = false
    @Flag(name: .shortAndLong, help: "Print nothing if all is intact. Made for cron.") var quiet = false
    @OptionGroup var options: StoreOptions

    func validate() throws {
        try OptionRange.check("--rate", rate, atLeast: 1, "leave it out to read at full speed")
        guard against != nil else {
            if at != nil { throw ValidationError("--at needs --against.") }
            return
        }
        if revision == nil { throw ValidationError("--against: name the revision to compare.") }
        if sample != nil || olderThan != nil || rate != nil || origins || quiet {
            throw ValidationError(
                "--against reads no shards: leave out --sample, --older-than, --rate, --origins and --quiet.")
        }
    }

    func run() throws {
        var rule = VerifyRule()
        rule.revision = revision
        rule.sample = sample?.fraction
        rule.olderThanSeconds = olderThan?.seconds
        rule.bytesPerSecond = rate?.bytes
        rule.checksOrigins = origins
        let store = try options.open()
        if let against, let revision { return try compare(store, revision, with: against) }
        try JobLog.run("verify", in: store) { try verify(store, rule) }
    }

    /// - Returns: whether the job has run.
    private func verify(_ store: Store, _ rule: VerifyRule) throws -> Bool {
        let summary = try LongCall.run(isSilent: true, stopping: store) { try store.verifyBlocking(rule, work: $0) }
        try report(summary)
        if !summary.damage.isEmpty || !summary.known.isEmpty { throw ExitCode(ExitStatus.damaged.rawValue) }
        if summary.origins.contains(where: { $0.state == .unanswered }) {
            throw ExitCode(ExitStatus.unchecked.rawValue)
        }
        return true
    }

    private func compare(_ store: Store, _ revision: String, with hub: String) throws {
        let comparison = try LongCall.run(isSilent: true, stopping: store) { work in
            try store.compareBlocking(revision, with: hub, at: at, work: work)
        }
        try comparison.report(options)
        let unchecked = comparison.files(with: .unchecked).count
        if comparison.files(with: .same).count + unchecked < comparison.files.count {
            throw ExitCode(ExitStatus.damaged.rawValue)
        }
        if unchecked > 0 { throw ExitCode(ExitStatus.unchecked.rawValue) }
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
        let isIntact = bad == 0 && summary.origins.allSatisfy { $0.state == .holds } && summary.absent.lostShards == 0
        if quiet && isIntact { return }
        try Terminal.write(parts.joined(separator: "; ") + "\n")
    }
}

extension HubComparison {
    /// A line for each file that is not the same, and a summary.
    fileprivate func report(_ options: StoreOptions) throws {
        if options.json { return try Terminal.write(json: self) }
        let words: [File.State: String] = [
            .differs: "differs", .missingHere: "missing here", .missingThere: "missing there",
            .unchecked: "not compared",
        ]
        for file in files {
            guard let word = words[file.state] else { continue }
            try Terminal.write("\(file.path): \(word)\(file.reason.map { ": \($0)" } ?? "")\n")
        }
        let counts: [File.State] = [.differs, .missingHere, .missingThere, .unchecked]
        let parts =
            ["\(files(with: .same).count) of \(Quantity.count(files.count, "file")) the same"]
            + counts.compactMap { state -> String? in
                let count = files(with: state).count
                let word = state == .differs ? "differ" : words[state] ?? state.rawValue
                return count == 0 ? nil : "\(count) \(word)"
            }
        try Terminal.write("\(revision) and \(hub) at \(commit): \(parts.joined(separator: ", "))\n")
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
