import ArgumentParser
import WeightStore

struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Bring in a model: a directory, one file, or a Hugging Face cache.",
        discussion: """
            Of a cache (models--org--name, or the folder that holds several), every snapshot becomes a revision and \
            every ref a ref. Interrupted at any point, the store is as it was; run again, it goes on from there.
            """)

    @Argument(help: "A model's directory, a file, or a Hugging Face cache.", completion: .directory)
    var path: String

    @Option(help: ArgumentHelp("What to call the model (default: the path's name).", valueName: "org/name"))
    var name: String?

    @Option(help: ArgumentHelp("A ref for the new revision (default: main). May be repeated.", valueName: "ref"))
    var ref: [String] = []

    @Flag(help: "Remove each source file as soon as its bytes are safe.")
    var move = false

    @Flag(help: "Take a directory even if files are missing that its index names.")
    var partial = false

    @Option(
        help: ArgumentHelp(
            "Where its shards can be had again (https://…, s3://…, file:///…), the nearest first. May be repeated.",
            valueName: "url"))
    var origin: [String] = []

    @Flag(help: "Say what would be imported, and import nothing.")
    var dryRun = false

    @OptionGroup var options: StoreOptions

    private var request: ImportRequest {
        var request = ImportRequest(source: path, name: name)
        if !ref.isEmpty { request.refs = ref }
        request.move = move
        request.partial = partial
        request.origins = origin
        return request
    }

    func plan() throws -> [ImportPlan] { try request.plan() }

    func run() throws {
        if dryRun { return try report(plan()) }
        let store = try options.open(create: true)
        let start = ContinuousClock.now
        let summary = try LongCall.run { try store.importModelBlocking(request, work: $0) }
        try report(summary, seconds: (ContinuousClock.now - start) / .seconds(1))
    }

    private func report(_ summary: ImportSummary, seconds: Double) throws {
        if options.json { return try Terminal.write(json: summary) }
        var text = ""
        for file in summary.skipped { Terminal.complain("\(file.path): left out: \(file.reason)") }
        for revision in summary.revisions {
            let refs = revision.refs.isEmpty ? "" : "  (\(revision.refs.joined(separator: ", ")))"
            text +=
                "\(revision.model)@v\(revision.version)  \(revision.digest.short)\(refs)  "
                + "\(Quantity.count(revision.files, "file")), \(Quantity.bytes(revision.bytes))"
                + (revision.wasKnown ? ", known before" : "") + "\n"
        }
        text +=
            "\(Quantity.bytes(summary.written)) written, "
            + "\(Quantity.bytes(summary.bytes - summary.written)) were here already"
            + (summary.moved > 0 ? ", \(Quantity.count(summary.moved, "source file")) removed" : "")
            + "; \(Quantity.seconds(seconds)) (\(Quantity.bytes(Double(summary.bytes) / max(seconds, 0.001)))/s)\n"
        try Terminal.write(text)
    }

    private func report(_ plan: [ImportPlan]) throws {
        if options.json { return try Terminal.write(json: plan) }
        var table = Table("MODEL", ">FILES", ">SIZE", "REFS", "FROM")
        for revision in plan {
            table.add(
                revision.model, "\(revision.files)", Quantity.bytes(revision.bytes),
                revision.refs.joined(separator: ", "), revision.source)
            for file in revision.skipped { Terminal.complain("\(file.path): left out: \(file.reason)") }
        }
        try Terminal.write(table.text)
    }
}
