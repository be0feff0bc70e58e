import ArgumentParser
import WeightStore

struct KVCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kv", abstract: "Look at, and drop, the KV blocks that engines have stored.",
        discussion: """
            Engines put and lease them through the library. Their quota is set with weightstore quota --kind kv, and \
            weightstore evict --kind kv does what it says. Losing them costs time alone.
            """,
        subcommands: [KVList.self, KVStats.self, KVDrop.self, KVPut.self, KVGet.self])
}

struct KVList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the KV blocks by revision, format and tenant.",
        discussion: """
            TENANT is the beginning of the SHA-256 of the tenant's salt. LONGEST: the tokens of the longest prefix. A \
            revision with * has been superseded by a newer version, and its blocks go first.
            """, aliases: ["list"])

    @Argument(help: "Only those of models that match, as in a shell: 'org/*'.") var pattern: String?
    @OptionGroup var options: StoreOptions

    func run() throws {
        let spaces = try options.open().kvSpaces(ofModelsMatching: pattern)
        if options.json { return try Terminal.write(json: spaces) }
        var table = Table("REVISION", "FORMAT", "TENANT", ">BLOCK", ">BLOCKS", ">SIZE", ">LONGEST", "USED", ">TIMES")
        for space in spaces {
            table.add(
                space.revision + (space.superseded ? " *" : ""), space.format, space.tenant.short,
                "\(space.blockTokens)",
                "\(space.blocks)", Quantity.bytes(space.bytes), "\(space.longest)",
                space.accesses > 0 ? Quantity.age(space.lastAccess) : "never", "\(space.accesses)")
        }
        try Terminal.write(table.text)
    }
}

struct KVStats: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "stats", abstract: "Show how much there is in all.")

    @OptionGroup var options: StoreOptions

    func run() throws {
        let gauge = try options.open().kvGauge()
        try options.json ? Terminal.write(json: gauge) : Terminal.write(gauge.text)
    }
}

struct KVDrop: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop", abstract: "Drop KV blocks: all, or those for which everything holds that is given.",
        discussion: """
            No harm is done: what is asked for again is computed again. What a running engine has leased stays readable.
            """)

    @Argument(help: "Only those of a model, or with @ of a revision.") var revision: String?
    @Option(
        help: ArgumentHelp("Only those of the tenant whose digest begins so (weightstore kv ls).", valueName: "digits"))
    var tenant: String?
    @Flag(help: "Only those of superseded revisions.") var superseded = false
    @Option(help: ArgumentHelp("Only those not used for so long: 12h, 30d, 2w.", valueName: "time")) var olderThan:
        TimeSpan?
    @Flag(help: "All of them.") var all = false
    @Flag(help: "Say what would be dropped, and drop nothing.") var dryRun = false
    @OptionGroup var options: StoreOptions

    func validate() throws {
        let isChosen = revision != nil || tenant != nil || superseded || olderThan != nil
        if all == isChosen { throw ValidationError("say which, or --all") }
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
        if let limit = quota.bytes { text += ", \(Int((Double(bytes) / Double(limit) * 100).rounded()))% of the quota" }
        return text + """

            superseded \(Quantity.bytes(superseded)): of revisions that a newer version has replaced; they go first
            spaces     \(spaces): revision, format, tenant and block length

            """
    }
}
