import ArgumentParser
import Fleet
import Server
import WeightStore

struct FleetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fleet", abstract: "Show the fleet, and clean up its bucket.",
        subcommands: [FleetStatus.self, FleetMakeBucket.self, FleetDrop.self, FleetGarbage.self])
}

struct FleetStatus: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show models, versions and refs; the nodes, their versions, and the bytes that they still lack.",
        discussion: "The nodes are listed in etcd; without it, only the contents of the bucket are shown.")

    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    func run() throws {
        let status = try fleetOptions.fleet().status()
        if options.json { return try Terminal.write(json: status) }
        var models = Table("MODEL", ">VERSIONS", "NEWEST", ">SIZE", "REFS")
        for model in status.models {
            let newest = model.versions.last
            models.add(
                model.model, "\(model.versions.count)", newest.map { "v\($0.version)" } ?? "-",
                Quantity.bytes(newest?.bytes ?? 0),
                model.refs.sorted { $0.key < $1.key }.map { "\($0.key)→v\($0.value.version)" }.joined(separator: " "))
        }
        var text = models.text
        if let nodes = status.nodes {
            var table = Table(
                "NODE", "URL", "HEARS BY", "REF", "HAS", "WANTED", ">TO COME", ">FROM PEERS", ">FROM BUCKET")
            for node in nodes {
                let peers = Quantity.bytes(node.holdings?.fromPeers ?? 0)
                let bucket = Quantity.bytes(node.holdings?.fromOrigin ?? 0)
                for state in node.states {
                    table.add(
                        node.info.name, node.info.url, node.holdings?.changeSource ?? "-",
                        "\(state.model)@\(state.ref)",
                        state.hereText,
                        state.isCurrent ? "" : "\(state.fleetText) ← lags", Quantity.bytes(state.missing), peers, bucket
                    )
                }
                if node.states.isEmpty {
                    table.add(
                        node.info.name, node.info.url, node.holdings?.changeSource ?? "-", "-", "-", "", "", peers,
                        bucket)
                }
            }
            text += "\n" + table.text
            text +=
                "\(Quantity.count(nodes.count, "node")), \(nodes.count { !$0.lags }) current; \(Quantity.bytes(nodes.reduce(0) { $0 + $1.states.reduce(0) { $0 + $1.missing } })) to fetch\n"
            for node in nodes { if let failure = node.holdings?.failure { text += "\(node.info.name): \(failure)\n" } }
        }
        try Terminal.write(text)
    }
}

struct FleetMakeBucket: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "make-bucket",
        abstract: "Create the fleet's bucket. A bucket that you already own stays unchanged.")

    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let origin: String
    }

    func run() throws {
        let fleet = try fleetOptions.fleet()
        try fleet.makeBucket()
        if options.json { try Terminal.write(json: Answer(origin: fleet.origin)) }
    }
}

struct FleetDrop: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop",
        abstract: "Remove a version from the fleet. Bytes that only this version needs become garbage.",
        discussion:
            "Nodes that hold the version keep it until they prune it. A version that a ref names cannot be dropped.")

    @Argument(help: ArgumentHelp("The version, as org/name@v3.", valueName: "version")) var name: String
    @Flag(help: "Only check whether the version can be dropped.") var dryRun = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let model: String
        let dropped: Int
    }

    func run() throws {
        let parts = name.split(separator: "@", maxSplits: 1).map(String.init)
        guard parts.count == 2, parts[1].hasPrefix("v"), let version = Int(parts[1].dropFirst()) else {
            throw ValidationError("\(name): must be org/name@v3")
        }
        try fleetOptions.fleet().drop(version, of: parts[0], dryRun: dryRun)
        try options.json
            ? Terminal.write(json: Answer(model: parts[0], dropped: version))
            : Terminal.write("\(name) \(dryRun ? "would be " : "")dropped\n")
    }
}

struct FleetGarbage: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc",
        abstract: "Remove objects that no version needs from the bucket, after a grace period. Safe during pushes.")

    @Option(help: ArgumentHelp("Keep objects younger than this: 12h, 1d.", valueName: "time")) var grace = TimeSpan(
        argument: "1d")!
    @Flag(help: "Only show what would be removed.") var dryRun = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    func run() throws {
        let summary = try fleetOptions.fleet().collectGarbage(graceSeconds: grace.seconds, dryRun: dryRun)
        if options.json { return try Terminal.write(json: summary) }
        try Terminal.write(
            """
            \(Quantity.count(summary.shards, "shard")), \(Quantity.count(summary.manifests, "manifest")), \
            \(Quantity.count(summary.uploads, "incomplete upload")), \(Quantity.count(summary.others, "other object")), \
            \(Quantity.bytes(summary.bytes))\(dryRun ? " would be removed" : " removed")

            """
        )
    }
}
