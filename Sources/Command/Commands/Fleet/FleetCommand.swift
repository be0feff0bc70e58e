import ArgumentParser
import Fleet
import Server
import WeightStore

struct FleetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fleet", abstract: "Show the fleet; check, repair and clean up its bucket.",
        subcommands: [
            FleetStatusCommand.self, FleetMakeBucket.self, FleetDrop.self, FleetVerify.self, FleetRepair.self,
            FleetGarbage.self,
        ]
    ).examples("fleet status --origin s3://fleet/models")
}

struct FleetStatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show models, versions and refs; the nodes, their versions, and the bytes that they still lack.",
        discussion: "The nodes are listed in etcd; without it, only the contents of the bucket are shown."
    ).examples("fleet status --origin s3://fleet/models")

    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var tables: TableOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let status = try fleetOptions.fleet().status()
        if output.json { return try Terminal.write(json: status) }
        var models = Table("~MODEL", ">VERSIONS", "NEWEST", ">SIZE", "~REFS")
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
                "~NODE", "~URL", "HEARS BY", "~REF", "HAS", "WANTED", ">TO COME", ">FROM PEERS", ">FROM BUCKET")
            for node in nodes {
                let peers = Quantity.bytes(node.holdings?.fromPeers ?? 0)
                let bucket = Quantity.bytes(node.holdings?.fromOrigin ?? 0)
                for state in node.states {
                    table.add(
                        node.info.name, node.info.url, node.holdings?.changeSource ?? "-",
                        "\(state.model)@\(state.ref)",
                        state.localText,
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
        abstract: "Create the fleet's bucket. A bucket that you already own stays unchanged."
    ).examples("fleet make-bucket --origin s3://fleet/models")

    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var output: OutputOptions

    private struct Answer: Encodable {
        let origin: String
    }

    func run() throws {
        let fleet = try fleetOptions.fleet()
        try fleet.makeBucket()
        if output.json { try Terminal.write(json: Answer(origin: fleet.origin)) }
    }
}

struct FleetDrop: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop",
        abstract: "Remove a version from the fleet. Bytes that only this version needs become garbage.",
        discussion:
            "Nodes that hold the version keep it until they prune it. A version that a ref names cannot be dropped."
    ).examples("fleet drop org/llama@v3 --dry-run")

    @Argument(help: ArgumentHelp("The version, as org/name@v3.", valueName: "version")) var name: String
    @Flag(help: "Only check whether the version can be dropped.") var dryRun = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var output: OutputOptions

    private struct Answer: Encodable {
        let model: String
        let dropped: Int
    }

    func run() throws {
        let parts = name.byteParts("@", maxSplits: 1)
        guard parts.count == 2, let version = parts[1].dropping(bytePrefix: "v").flatMap({ Int(decimal: $0) }) else {
            throw ValidationError("\(name): must be org/name@v3")
        }
        try fleetOptions.fleet().drop(version, of: parts[0], dryRun: dryRun)
        try output.json
            ? Terminal.write(json: Answer(model: parts[0], dropped: version))
            : Terminal.write("\(name) \(dryRun ? "would be " : "")dropped\n")
    }
}

struct FleetVerify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check that the bucket has every manifest and shard of every version.",
        discussion: """
            Without --deep, sizes are compared; with it, every shard is read and its digest is compared. Changes \
            nothing. "weightstore push --check" uploads what is missing or damaged, from a store that has it. Exit \
            status 3 if anything is missing, damaged or inconsistent.
            """
    ).examples("fleet verify --deep")

    @Flag(help: "Read all shards and compare their digests.") var deep = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let fleet = try fleetOptions.fleet()
        let result = try LongCall.run("bucket", unit: deep ? .bytes : .things("shards")) { work in
            try fleet.verifyBlocking(deep: deep, work: work)
        }
        if output.json {
            try Terminal.write(json: result)
        } else {
            for problem in result.problems {
                Terminal.printDiagnostic(
                    "\(problem.object): \(problem.kind.rawValue): \(problem.detail)"
                        + (problem.versions.isEmpty ? "" : "; affects \(problem.versions.joined(separator: ", "))"))
            }
            try Terminal.write(
                "\(Quantity.count(result.models, "model")), \(Quantity.count(result.versions, "version")), "
                    + "\(Quantity.count(result.shards, "shard")), \(Quantity.bytes(result.bytes))"
                    + (deep ? "; \(Quantity.bytes(result.bytesRead)) read" : "")
                    + "; \(result.problems.isEmpty ? "all intact" : Quantity.count(result.problems.count, "problem"))\n"
            )
            if result.problems.contains(where: { !$0.versions.isEmpty }) {
                Terminal.printDiagnostic("\"weightstore push --check\" uploads them from a store that has the version")
            }
            if result.problems.contains(where: { $0.kind == .inconsistent }) {
                Terminal.printDiagnostic(
                    "\"weightstore fleet repair\" lists the objects that exist, and makes them the current ones")
            }
        }
        if !result.problems.isEmpty { throw ExitCode(ExitStatus.damaged.rawValue) }
    }
}

struct FleetRepair: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair",
        abstract: "Check the ledger and the version maps in the bucket, and repair them after a loss of objects.",
        discussion: """
            First restore the lost objects if you can: from their older versions, a replica or a backup. This command makes \
            the newest generation that exists the current one. Versions that only later generations contain are lost; \
            push them again. Changes must be confirmed, without a terminal by --yes. Exit status 3 if an inconsistency \
            remains.
            """
    ).examples("fleet repair")

    @Flag(help: "Skip the confirmation.") var yes = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var output: OutputOptions

    private struct Answer: Encodable {
        let registers: [BucketRegister]
        let repaired: [String]
    }

    func run() throws {
        let fleet = try fleetOptions.fleet()
        let registers = try LongCall.run("bucket") { try fleet.registers(work: $0) }
        let broken = registers.filter { $0.finding != nil }
        if !output.json { try show(registers) }
        let confirmed = !broken.isEmpty && (yes || !output.json && Terminal.confirm("Repair?"))
        if confirmed { try LongCall.run("bucket") { try fleet.repair(registers, work: $0) } }
        if output.json {
            try Terminal.write(json: Answer(registers: registers, repaired: confirmed ? broken.map(\.name) : []))
        } else if confirmed {
            try Terminal.write("\(Quantity.count(broken.count, "register")) repaired\n")
        }
        if !broken.isEmpty, !confirmed { throw ExitCode(ExitStatus.damaged.rawValue) }
    }

    private func show(_ registers: [BucketRegister]) throws {
        var table = Table("NAME", ">HEAD", ">GENERATIONS", ">NEWEST", ">KNOWN", "STATE")
        for register in registers {
            table.add(
                register.name, register.head.map(String.init) ?? "-", "\(register.generations)",
                register.newest.map(String.init) ?? "-", "\(register.known)", register.finding ?? "consistent")
        }
        var text = table.text
        for register in registers where register.finding != nil {
            let lost = register.known - (register.newest ?? 0)
            text += "\(register.name): "
            if lost == 0, register.newest != nil {
                text += "continues at generation \(register.known)\n"
            } else if register.newest == nil, register.name != "ledger" {
                text += "no generation is left: the model has no version afterwards, and its shards become garbage\n"
            } else {
                text += "continues with a copy of generation \(register.newest ?? 0); "
                text += "\(Quantity.count(lost, "later generation")) may be lost\n"
            }
        }
        try Terminal.write(text)
    }
}

struct FleetGarbage: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc",
        abstract: "Remove objects that no version needs from the bucket, after a grace period. Safe during pushes.",
        discussion: """
            Nothing is removed if objects of the ledger or of a version map are missing, or if more than 10% of the \
            bucket's shards would be removed; --allow-removing allows a larger share.
            """
    ).examples("fleet gc --dry-run")

    @Option(help: ArgumentHelp("Keep objects younger than this: 12h, 1d.", valueName: "time")) var grace = TimeSpan(
        argument: "1d")!
    @Option(help: ArgumentHelp("The largest share of the shards to remove (default: 10%).", valueName: "share"))
    var allowRemoving: Share?
    @Flag(help: "Only show what would be removed.") var dryRun = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let fleet = try fleetOptions.fleet()
        let summary = try LongCall.run("bucket", isSilent: true) { work in
            try fleet.collectGarbage(
                graceSeconds: grace.seconds, allowedShare: allowRemoving?.fraction ?? Fleet.defaultRemovedShare,
                dryRun: dryRun, work: work)
        }
        if output.json { return try Terminal.write(json: summary) }
        try Terminal.write(
            """
            \(Quantity.count(summary.shards, "shard")), \(Quantity.count(summary.manifests, "manifest")), \
            \(Quantity.count(summary.uploads, "incomplete upload")), \(Quantity.count(summary.others, "other object")), \
            \(Quantity.bytes(summary.bytes))\(dryRun ? " would be removed" : " removed")

            """
        )
        if summary.isRefused {
            Terminal.printDiagnostic(
                "These are \(summary.shards) of \(summary.allShards) shards: a collection removes them only with "
                    + "--allow-removing \(percent(summary.shards, of: summary.allShards))")
        }
    }

    /// The share in whole percent, rounded up.
    private func percent(_ part: Int, of all: Int) -> String {
        Quantity.percent((100 * Double(part) / Double(max(all, 1))).rounded(.up) / 100)
    }
}
