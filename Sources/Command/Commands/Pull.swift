import ArgumentParser
import Foundation
import Origins
import WeightStore

struct Pull: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Fetch a model from a hub: all of it, or some layers and experts.",
        discussion: """
            The catalog then lists the whole revision with every tensor; with --layers, --experts or --include only \
            those bytes are fetched now, and the rest on first use (load, cat, export, …). An interrupted pull resumes \
            after the last durable byte.

            The hub is --origin, else the model's own origin, else HF_ENDPOINT, else https://huggingface.co. Its token \
            is read from HF_TOKEN or ~/.cache/huggingface/token.
            """
    ).examples("pull Qwen/Qwen2.5-0.5B --dry-run", "pull Qwen/Qwen2.5-0.5B@main --layers 0-11")

    @Argument(help: ArgumentHelp("org/name, or org/name@revision (a branch, a tag, a commit).", valueName: "model"))
    var name: String
    @Option(help: ArgumentHelp("Fetch the tensors of these layers: 3, or 0-15.", valueName: "layers"))
    var layers: NumberRange?
    @Option(
        help: ArgumentHelp(
            "Of the experts of each layer, fetch only these: 7, or 0-31. Tensors outside of the experts are fetched, "
                + "too.",
            valueName: "experts"))
    var experts: NumberRange?
    @Option(
        help: ArgumentHelp(
            "Fetch the whole files that match a shell pattern: '*.json'. Each pattern must match a file. May be repeated.",
            valueName: "pattern"))
    var include: [String] = []
    @Flag(help: "Keep files that violate their format, without tensors, with a warning.") var opaque = false
    @Option(help: ArgumentHelp("The hub.", valueName: "url")) var origin: String?
    @Option(help: ArgumentHelp("The most bytes per second to fetch: 50M.", valueName: "size")) var limitRate: ByteSize?
    @Flag(help: "Only show how many bytes would be fetched.") var dryRun = false
    @OptionGroup var options: StoreOptions

    func validate() throws {
        try OptionRange.check("--limit-rate", limitRate, atLeast: 1, "leave it out for no limit")
    }

    func run() throws {
        if dryRun { return try showPlan() }
        let store = try options.open(create: true, limitRate: limitRate?.bytes)
        let request = try request(for: store)
        let start = ContinuousClock.now
        let summary = try LongCall.run(name, stopping: store) { try store.pullBlocking(request, work: $0) }
        try report(summary, seconds: (ContinuousClock.now - start) / .seconds(1))
    }

    private func request(for store: Store) throws -> PullRequest {
        var request = try PullRequest(name)
        request.opaque = opaque
        request.selection = FetchSelection(layers: layers?.range, experts: experts?.range, include: include)
        // An unknown model has no origins.
        let isKnown = (try? store.origins(of: request.model).isEmpty) == false
        request.origin = origin ?? (isKnown ? nil : HubOrigin.defaultURL)
        return request
    }

    /// Without a store, the plan is that of an empty one, which is removed afterwards.
    private func showPlan() throws {
        guard FileSystem.exists(options.path + "/store.db") else {
            let place = NSTemporaryDirectory() + "weightstore-pull-\(getpid())"
            // After a failure the files stay in the directory for temporary files.
            defer { try? FileManager.default.removeItem(atPath: place) }
            Signals.whenEnded { try? FileManager.default.removeItem(atPath: place) }
            return try showPlan(of: StoreLocation.open(place, create: true, logger: options.logger))
        }
        try showPlan(of: options.open())
    }

    private func showPlan(of store: Store) throws {
        let request = try request(for: store)
        let plan = try LongCall.run(name, stopping: store) { try store.pullPlan(request, work: $0) }
        if options.json { return try Terminal.write(json: plan) }
        try Terminal.write(
            "\(plan.model)@\(plan.commit)  \(Quantity.count(plan.files, "file")), \(Quantity.bytes(plan.bytes)); "
                + (plan.selected < plan.bytes ? "\(Quantity.bytes(plan.selected)) selected, " : "")
                + "\(Quantity.bytes(plan.stored)) stored, \(Quantity.bytes(plan.missing)) would be fetched from "
                + "\(plan.origin)\n")
    }

    private func report(_ summary: PullSummary, seconds: Double) throws {
        if options.json { return try Terminal.write(json: summary) }
        Terminal.printWarnings(summary.warnings)
        let moved = summary.movedRefs.sorted { $0.key < $1.key }
            .map { "  the ref \($0.key) named \($0.value) before\n" }.joined()
        try Terminal.write(
            "\(summary.name)  \(summary.digest.short)  \(Quantity.count(summary.files, "file")), "
                + "\(Quantity.bytes(summary.bytes)); \(Quantity.bytes(summary.fetched)) fetched"
                + "; \(Quantity.seconds(seconds)) (\(Quantity.bytes(Double(summary.fetched) / max(seconds, 0.001)))/s)"
                + (summary.complete ? "" : "; the rest is fetched on first use") + "\n"
                + moved)
    }
}
