import ArgumentParser
import WeightStore

struct KVCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kv", abstract: "Show and drop the KV blocks that engines have stored.",
        discussion: """
            Engines store and lease KV blocks through the library. "weightstore quota --kind kv" sets their quota, and \
            "weightstore evict --kind kv" evicts down to it. A lost block costs only the time to compute it again.
            """,
        subcommands: [KVList.self, KVStats.self, KVDrop.self, KVPut.self, KVGet.self]
    ).examples("kv ls")
}

struct KVList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the KV blocks by revision, format and tenant.",
        discussion: """
            TENANT: the first digits of the SHA-256 of the tenant's salt. LONGEST: the tokens of the longest prefix. A \
            * marks a revision superseded by a newer version; its blocks are evicted first.
            """, aliases: ["list"]
    ).examples("kv ls 'org/*' --sort size")

    @Argument(help: "Only blocks of models that match a shell pattern: 'org/*'.", completion: .models) var pattern:
        String?
    @OptionGroup var list: ListOptions
    @OptionGroup var options: StoreOptions

    func run() throws {
        let spaces = try options.open().kvSpaces(ofModelsMatching: pattern)
        try Listing(
            spaces, list,
            [
                .name("REVISION") { $0.revision + ($0.superseded ? " *" : "") }, .name("FORMAT") { $0.format },
                .text("TENANT") { $0.tenant.short }, .count("BLOCK") { $0.blockTokens }, .count("BLOCKS") { $0.blocks },
                .bytes("SIZE") { $0.bytes }, .count("LONGEST") { $0.longest },
                .moment("LAST USED") { $0.accesses > 0 ? $0.lastAccess : nil }, .count("USES") { $0.accesses },
            ]
        ).report(options)
    }
}

struct KVStats: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "stats", abstract: "Show the totals of the KV blocks.")
        .examples("kv stats")

    @OptionGroup var options: StoreOptions

    func run() throws {
        let gauge = try options.open().kvGauge()
        try options.json ? Terminal.write(json: gauge) : Terminal.write(gauge.text)
    }
}

struct KVDrop: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop", abstract: "Drop KV blocks: all, or those that match all given conditions.",
        discussion: """
            An engine computes a dropped block again when it needs it. Blocks leased by a running engine stay readable.
            """
    ).examples("kv drop --superseded --dry-run")

    @Argument(help: "Only blocks of this model, or with @ of this revision.", completion: .revisions) var revision:
        String?
    @Option(
        help: ArgumentHelp(
            "Only blocks of the tenant whose digest begins with these digits (weightstore kv ls).", valueName: "digits")
    )
    var tenant: String?
    @Flag(help: "Only blocks of superseded revisions.") var superseded = false
    @Option(help: ArgumentHelp("Only blocks not used for this long: 12h, 30d, 2w.", valueName: "time")) var olderThan:
        TimeSpan?
    @Flag(help: "All blocks.") var all = false
    @Flag(help: "Only show what would be dropped.") var dryRun = false
    @OptionGroup var options: StoreOptions

    func validate() throws {
        let isChosen = revision != nil || tenant != nil || superseded || olderThan != nil
        if all == isChosen {
            throw ValidationError("give either a condition (a revision, --tenant, --superseded, --older-than) or --all")
        }
    }

    func run() throws {
        var selection = KVSelection()
        selection.revision = revision
        selection.tenant = tenant
        selection.superseded = superseded
        selection.olderThanSeconds = olderThan?.seconds
        let summary = try options.open().dropKV(selection, dryRun: dryRun)
        if options.json { return try Terminal.write(json: summary) }
        let would = dryRun ? "would be " : ""
        try Terminal.write(
            "\(Quantity.count(summary.blocks, "KV block")) \(would)dropped, \(Quantity.bytes(summary.bytes)) \(would)freed\n"
        )
    }
}

extension KVGauge {
    var text: String {
        var text = "stored     \(Quantity.bytes(bytes)) in \(Quantity.count(blocks, "KV block"))"
        if let limit = quota.bytes { text += ", \(Quantity.percent(Double(bytes) / Double(limit))) of the quota" }
        return text + """

            superseded \(Quantity.bytes(superseded)): of revisions that a newer version has replaced; evicted first
            spaces     \(spaces): combinations of revision, format, tenant and block length

            """
    }
}
