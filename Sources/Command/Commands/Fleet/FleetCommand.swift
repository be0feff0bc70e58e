import ArgumentParser
import Fleet
import Server
import WeightStore

struct FleetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fleet", abstract: "Look at the fleet, and keep its bucket clean.",
        subcommands: [FleetStatus.self, FleetMakeBucket.self, FleetDrop.self, FleetGarbage.self])
}

struct FleetStatus: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Models, versions and refs; the nodes, what they have, who lags, and how much has still to come.",
        discussion: "The nodes are known by etcd; without it, only the bucket is looked at.")

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
                        node.info.name, node.info.url, node.holdings?.hears ?? "-", "\(state.model)@\(state.ref)",
                        state.hereText,
                        state.isCurrent ? "" : "\(state.fleetText) ← lags", Quantity.bytes(state.missing), peers, bucket
                    )
                }
                if node.states.isEmpty {
                    table.add(
                        node.info.name, node.info.url, node.holdings?.hears ?? "-", "-", "-", "", "", peers, bucket)
                }
            }
            text += "\n" + table.text
            text +=
                "\(Quantity.count(nodes.count, "node")), \(nodes.count { !$0.lags }) current; \(Quantity.bytes(nodes.reduce(0) { $0 + $1.states.reduce(0) { $0 + $1.missing } })) to come\n"
            for node in nodes { if let failure = node.holdings?.failure { text += "\(node.info.name): \(failure)\n" } }
        }
        try Terminal.write(text)
    }
}

struct FleetMakeBucket: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "make-bucket", abstract: "Make the fleet's bucket. One of your own that is there stays as it is.")

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
        abstract: "Take a version out of the fleet. Its bytes are garbage then, unless other versions have them.",
        discussion: "Nodes that hold it keep it until they prune it. A version that a ref names stays.")

    @Argument(help: ArgumentHelp("The version, as org/name@v3.", valueName: "version")) var name: String
    @Flag(help: "Say whether it may go, and change nothing.") var dryRun = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let model: String
        let dropped: Int
    }

    func run() throws {
        let parts = name.split(separator: "@", maxSplits: 1).map(String.init)
        guard parts.count == 2, parts[1].hasPrefix("v"), let version = Int(parts[1].dropFirst()) else {
            throw ValidationError("Name the version as org/name@v3.")
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
        abstract: "Remove from the bucket what no version needs, after a grace period. Safe beside pushes.")

    @Option(help: ArgumentHelp("What is younger stays.", valueName: "span")) var grace = TimeSpan(argument: "1d")!
    @Flag(help: "Say what would be removed, and remove nothing.") var dryRun = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    func run() throws {
        let summary = try fleetOptions.fleet().collectGarbage(graceSeconds: grace.seconds, dryRun: dryRun)
        if options.json { return try Terminal.write(json: summary) }
        try Terminal.write(
            "\(Quantity.count(summary.shards, "shard")), \(Quantity.count(summary.manifests, "manifest")), \(Quantity.count(summary.uploads, "broken-off upload")), \(Quantity.count(summary.others, "other object")), \(Quantity.bytes(summary.bytes))\(dryRun ? " would go" : " removed")\n"
        )
    }
}
