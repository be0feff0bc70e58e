import ArgumentParser
import Fleet
import Server
import WeightStore

struct Push: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Publish a revision to the fleet: what the bucket lacks, then the next version.",
        discussion: """
            Only shards that the bucket lacks travel, the large ones in parallel parts. When all are there, the next \
            version is created if nobody else has, and the refs move. Broken off at any moment, nothing is seen of it, and \
            the next push goes on from what is there. Of two publishers who make the same version one wins, and the other is \
            told so (exit status 4).
            """)

    @Argument(help: "The revision.") var revision: String
    @Option(help: ArgumentHelp("The bucket: s3://bucket/prefix (default: $WEIGHTSTORE_ORIGIN).", valueName: "url"))
    var to: String?
    @Option(help: ArgumentHelp("Let this ref name the version (default: main). May be repeated.", valueName: "ref"))
    var ref: [String] = []
    @Flag(help: "Move no ref.") var noRef = false
    @Flag(help: "Say what would be uploaded, and change nothing.") var dryRun = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    func validate() throws {
        if noRef && !ref.isEmpty { throw ValidationError("--ref and --no-ref exclude each other.") }
    }

    func run() throws {
        let fleet = try fleetOptions.fleet(to)
        let store = try options.open()
        let revision = try store.revision(revision)
        let start = ContinuousClock.now
        let summary = try LongCall.run(revision.name) { work in
            try fleet.pushBlocking(
                revision, of: store, refs: noRef ? [] : ref.isEmpty ? ["main"] : ref, dryRun: dryRun, work: work)
        }
        if options.json { return try Terminal.write(json: summary) }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let what =
            "\(Quantity.count(summary.uploadedShards, "shard")), \(Quantity.bytes(summary.uploaded)) of \(Quantity.bytes(summary.bytes))"
        if dryRun {
            return try Terminal.write(
                "would upload \(what); \(summary.model)@v\(summary.version)\(summary.created ? " would be new" : " is there")\n"
            )
        }
        try Terminal.write(
            "\(summary.model)@v\(summary.version)  \(summary.digest.short)  \(summary.created ? "created" : "was there")"
                + (summary.refs.isEmpty ? "" : ", \(summary.refs.joined(separator: ", ")) → v\(summary.version)")
                + "; \(what) uploaded; \(Quantity.seconds(seconds))\n")
        if !summary.told {
            Terminal.complain("etcd could not be told: nodes hear of it when they next look into the bucket")
        }
    }
}

struct Rollback: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Let a ref of the fleet name the version again that it named before, or another one.",
        discussion:
            "Only the ref moves: by compare-and-swap, so that of two people who move it one is told (exit status 4).")

    @Argument(help: ArgumentHelp("The model, or model@ref (default: main).", valueName: "model")) var name: String
    @Option(help: ArgumentHelp("The version.", valueName: "v3")) var to: String?
    @Flag(help: "Say what would be, and change nothing.") var dryRun = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let model: String
        let ref: String
        let from: Int
        let to: Int
    }

    func run() throws {
        let parts = name.split(separator: "@", maxSplits: 1).map(String.init)
        let (model, ref) = (parts.first ?? name, parts.count == 2 ? parts[1] : "main")
        let version = try to.map { text in
            guard let number = Int(text.hasPrefix("v") ? String(text.dropFirst()) : text) else {
                throw ValidationError("A version is v and a number: v3.")
            }
            return number
        }
        let moved = try fleetOptions.fleet().move(ref, of: model, to: version, dryRun: dryRun)
        if options.json {
            return try Terminal.write(json: Answer(model: model, ref: ref, from: moved.from, to: moved.to))
        }
        try Terminal.write("\(model)@\(ref): v\(moved.from) → v\(moved.to)\(dryRun ? " (not done)" : "")\n")
    }
}
