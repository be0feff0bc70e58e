import ArgumentParser
import WeightStore

struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Import a model: a directory, one file, or a Hugging Face cache.",
        discussion: """
            In a cache (models--org--name, or the folder that contains several), every snapshot becomes a revision and \
            every ref a ref. A snapshot that cannot be imported, because a file of it is damaged for example, does not \
            stop the others: the failures are listed at the end, and the exit status is 6. Tokens, keys and other secrets \
            are never imported.

            An interrupted import leaves the models as they were; run it again to resume. Files that have not changed since \
            an earlier import are not read, and a sample of the stored bytes is checked; --rehash reads and hashes all.

            Each --origin is checked before the commit: sizes, and digests that it publishes or of a sample of its bytes. \
            An import whose origin lacks the files is refused.
            """
    ).examples("import ~/models/llama --name org/llama", "import ~/.cache/huggingface --dry-run")

    @Argument(help: "A model's directory, a file, or a Hugging Face cache.", completion: .directory)
    var path: String

    @Option(help: ArgumentHelp("The model's name (default: from the path).", valueName: "org/name"))
    var name: String?

    @Option(help: ArgumentHelp("A ref for the new revision (default: main). May be repeated.", valueName: "ref"))
    var ref: [String] = []

    @Flag(help: "Delete each source file as soon as its bytes are durable.")
    var move = false

    @Flag(help: "Import a directory even if files that its index names are missing.")
    var partial = false

    @Flag(
        help: """
            Refuse files that would be kept with a warning: unknown or unaligned GGUF tensors, a safetensors header above \
            100 MB, an index that names tensors which its files lack, git-lfs pointers.
            """)
    var strict = false

    @Flag(help: "Keep files that violate their format, without tensors, with a warning.")
    var opaque = false

    @Flag(help: "Import a directory even if it has neither weights nor a config.json.")
    var any = false

    @Flag(help: "Read all of the source again, and hash all stored bytes that it shares.")
    var rehash = false

    @Option(
        help: ArgumentHelp(
            "An origin of the shards (https://…, s3://…, file:///…), the nearest first. May be repeated.",
            valueName: "url"))
    var origin: [String] = []

    @Flag(help: "Do not check that the origins hold the files: they count as checked.")
    var trust = false

    @Flag(help: "Only show what would be imported.")
    var dryRun = false

    @OptionGroup var table: TableOptions
    @OptionGroup var options: StoreOptions

    private var request: ImportRequest {
        var request = ImportRequest(source: path, name: name)
        if !ref.isEmpty { request.refs = ref }
        request.move = move
        request.partial = partial
        request.strict = strict
        request.opaque = opaque
        request.rehash = rehash
        request.origins = origin
        request.trustsOrigins = trust
        return request
    }

    func validate() throws {
        if strict && opaque { throw ValidationError("--strict and --opaque exclude each other.") }
    }

    func plan() throws -> [ImportPlan] { try request.plan(into: options.path) }

    func run() throws {
        if dryRun { return try report(plan()) }
        let store = try options.open(create: true)
        let start = ContinuousClock.now
        let summary = try summary(store)
        try report(summary, seconds: (ContinuousClock.now - start) / .seconds(1))
        if !summary.failures.isEmpty { throw ExitCode(ExitStatus.badInput.rawValue) }
    }

    /// Imports the source. Requires a confirmation if it is a directory that is no model: it may have been given by
    /// mistake.
    private func summary(_ store: Store) throws -> ImportSummary {
        var request = request
        request.mustBeModel = !any
        do {
            return try LongCall.run(stopping: store) { [request] in try store.importModelBlocking(request, work: $0) }
        } catch StorageError.invalid("directory to import", let source, let reason) where Terminal.isInteractive {
            guard Terminal.confirm("\(source): \(reason). Import it?") else {
                throw ExitCode(ExitStatus.badInput.rawValue)
            }
            request.mustBeModel = false
            return try LongCall.run(stopping: store) { [request] in try store.importModelBlocking(request, work: $0) }
        }
    }

    private func report(_ summary: ImportSummary, seconds: Double) throws {
        if options.json { return try Terminal.write(json: summary) }
        var text = ""
        for file in summary.skipped { Terminal.printDiagnostic("\(file.path): skipped: \(file.reason)") }
        Terminal.printWarnings(summary.warnings)
        for revision in summary.revisions {
            let refs = revision.refs.isEmpty ? "" : "  (\(revision.refs.joined(separator: ", ")))"
            text +=
                "\(revision.name)  \(revision.digest.short)\(refs)  "
                + "\(Quantity.count(revision.files, "file")), \(Quantity.bytes(revision.bytes))"
                + (revision.wasKnown ? ", already known" : "") + "\n"
            for (ref, old) in revision.movedRefs.sorted(by: { $0.key < $1.key }) {
                text += "  the ref \(ref) named \(old) before\n"
            }
        }
        // The bytes that were written include the padding of packs.
        let stored = max(0, summary.bytes - summary.written)
        text +=
            "\(Quantity.bytes(summary.written)) written, "
            + "\(Quantity.bytes(stored)) were already stored"
            + (summary.moved > 0 ? ", \(Quantity.count(summary.moved, "source file")) removed" : "")
            + "; \(Quantity.seconds(seconds)) (\(Quantity.bytes(Double(summary.bytes) / max(seconds, 0.001)))/s)\n"
        if summary.storedAgain > 0 {
            text +=
                "\(Quantity.bytes(summary.storedAgain)) of the written bytes were already stored, in shards that an "
                + "older version cut by another rule\n"
        }
        try Terminal.write(text)
        for failure in summary.failures {
            Terminal.printDiagnostic("\(failure.model): not imported: \(failure.reason)")
        }
    }

    private func report(_ plan: [ImportPlan]) throws {
        if options.json { return try Terminal.write(json: plan) }
        var table = Table("~MODEL", ">FILES", ">SIZE", "~REFS", "~FROM")
        for revision in plan {
            let refs = revision.refs.map { ref in revision.refsNow[ref].map { "\(ref) (now \($0))" } ?? ref }
            table.add(
                revision.model, "\(revision.files)", Quantity.bytes(revision.bytes), refs.joined(separator: ", "),
                revision.source)
            if !revision.isModel {
                Terminal.printDiagnostic(
                    "\(revision.source): no file with weights and no config.json; import it with --any")
            }
            for file in revision.skipped { Terminal.printDiagnostic("\(file.path): skipped: \(file.reason)") }
        }
        try Terminal.write(table.text)
    }
}
