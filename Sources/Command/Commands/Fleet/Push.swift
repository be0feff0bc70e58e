import ArgumentParser
import Fleet
import Server
import WeightStore

struct Push: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Publish a revision to the fleet: upload the missing objects, then create the next version.",
        discussion: """
            Only shards that the bucket lacks are uploaded, the large ones in parallel parts. When all are stored, the \
            next version is created, and the refs move. An interrupted push publishes nothing, and the next push \
            resumes from the uploaded shards. If two publishers create the same version, one wins and the other fails \
            with exit status 4.

            --check checks a version that is published, uploads its missing objects, and changes nothing else.
            """
    ).examples("push org/llama --to s3://fleet/models --ref canary")

    @Argument(help: "The revision.", completion: .revisions) var revision: String
    @Option(help: ArgumentHelp("The bucket: s3://bucket/prefix (default: $WEIGHTSTORE_ORIGIN).", valueName: "url"))
    var to: String?
    @Option(help: ArgumentHelp("Point this ref at the version (default: main). May be repeated.", valueName: "ref"))
    var ref: [String] = []
    @Flag(help: "Move no ref.") var noRef = false
    @Flag(help: "Only show what would be uploaded.") var dryRun = false
    @Flag(help: "Check a published version, and upload its missing objects.") var check = false
    @Flag(help: "With --check: read the objects, and replace those that have another digest.") var deep = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    func validate() throws {
        if noRef && !ref.isEmpty { throw ValidationError("--ref and --no-ref exclude each other.") }
        if check && (noRef || !ref.isEmpty) { throw ValidationError("--check moves no ref.") }
        if deep && !check { throw ValidationError("--deep requires --check.") }
    }

    func run() throws {
        let fleet = try fleetOptions.fleet(to)
        let store = try options.open()
        let revision = try store.revision(revision)
        let start = ContinuousClock.now
        let summary = try LongCall.run(revision.name, stopping: store) { work in
            check
                ? try fleet.healBlocking(revision, of: store, deep: deep, dryRun: dryRun, work: work)
                : try fleet.pushBlocking(
                    revision, of: store, refs: noRef ? [] : ref.isEmpty ? ["main"] : ref, dryRun: dryRun, work: work)
        }
        if options.json { return try Terminal.write(json: summary) }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let what =
            "\(Quantity.count(summary.uploadedShards, "shard")), \(Quantity.bytes(summary.uploaded)) of \(Quantity.bytes(summary.bytes))"
        if dryRun {
            return try Terminal.write(
                "would upload \(what); \(summary.model)@v\(summary.version)"
                    + "\(summary.created ? " would be created" : " already exists")\n"
            )
        }
        try Terminal.write(
            "\(summary.model)@v\(summary.version)  \(summary.digest.short)  "
                + "\(check ? "checked" : summary.created ? "created" : "already exists")"
                + (summary.refs.isEmpty ? "" : ", \(summary.refs.joined(separator: ", ")) → v\(summary.version)")
                + "; \(what) uploaded; \(Quantity.seconds(seconds))\n")
        if !summary.isAnnounced {
            Terminal.printDiagnostic("etcd could not be notified: nodes see the change when they next poll the bucket")
        }
    }
}

struct Rollback: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Move a ref of the fleet back to its previous version, or to another one.",
        discussion:
            "Only the ref moves, by compare-and-swap: of two concurrent moves one fails with exit status 4."
    ).examples("rollback org/llama@prod --to v3")

    @Argument(help: ArgumentHelp("The model, or model@ref (default: main).", valueName: "model")) var name: String
    @Option(help: ArgumentHelp("The version: v3 (default: the ref's previous one).", valueName: "version")) var to:
        String?
    @Flag(help: "Only show the move.") var dryRun = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var output: OutputOptions

    private struct Answer: Encodable {
        let model: String
        let ref: String
        let from: Int
        let to: Int
    }

    func run() throws {
        let parts = name.byteParts("@", maxSplits: 1)
        let (model, ref) = (parts[0], parts.count == 2 ? parts[1] : "main")
        let version = try to.map { text in
            guard let number = Int(decimal: text.dropping(bytePrefix: "v") ?? text) else {
                throw ValidationError("--to \(text): must be v and a number, such as v3")
            }
            return number
        }
        let moved = try fleetOptions.fleet().move(ref, of: model, to: version, dryRun: dryRun)
        if output.json {
            return try Terminal.write(json: Answer(model: model, ref: ref, from: moved.from, to: moved.to))
        }
        try Terminal.write("\(model)@\(ref): v\(moved.from) → v\(moved.to)\(dryRun ? " (not done)" : "")\n")
    }
}
