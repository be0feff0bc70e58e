import ArgumentParser
import Fleet
import WeightStore

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check whether this store has the versions that the fleet's refs name now.",
        discussion: "Exit status 11 if it does not."
    ).examples("check org/llama@prod")

    @Argument(help: ArgumentHelp("org/name, or org/name@ref.", valueName: "model")) var names: [String]
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var table: TableOptions
    @OptionGroup var options: StoreOptions

    func run() throws {
        let states = try fleetOptions.fleet().check(
            try names.map { try Follow($0) }, of: try options.open(create: true))
        if options.json {
            try Terminal.write(json: states)
        } else {
            var table = Table("~REF", "FLEET", "HERE", ">TO FETCH")
            for state in states {
                table.add(
                    "\(state.model)@\(state.ref)", state.fleetText, state.localText, Quantity.bytes(state.missing))
            }
            try Terminal.write(table.text)
        }
        if !states.allSatisfy(\.isCurrent) { throw ExitCode(ExitStatus.behind.rawValue) }
    }
}

struct Sync: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync",
        abstract:
            "Update this store to the versions that the fleet's refs name now: fetch what differs, then move the refs.",
        discussion: """
            Shards are fetched from peers first, then from the bucket. A ref moves when all bytes of its version are \
            stored. An interrupted sync resumes from the stored shards.
            """
    ).examples("sync org/llama@prod --dry-run")

    @Argument(help: ArgumentHelp("org/name, or org/name@ref.", valueName: "model")) var names: [String]
    @Flag(help: "Only show what would be fetched.") var dryRun = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    func run() throws {
        let follows = try names.map { try Follow($0) }
        let fleet = try fleetOptions.fleet()
        let store = try options.open(create: true)
        if dryRun {
            let states = try fleet.check(follows, of: store)
            if options.json { return try Terminal.write(json: states) }
            return try Terminal.write(
                states.filter { !$0.isCurrent }.map {
                    "\($0.model)@\($0.ref): \($0.localText) → \($0.fleetText), \(Quantity.bytes($0.missing)) to fetch\n"
                }.joined())
        }
        let summary = try LongCall.run(names.joined(separator: " "), isSilent: true, stopping: store) { work in
            try fleet.syncBlocking(follows, into: store, work: work)
        }
        if options.json { return try Terminal.write(json: summary) }
        if summary.moved.isEmpty { return try Terminal.write("current\n") }
        try Terminal.write(
            summary.moved.map { "\($0.model)@\($0.ref) → v\($0.version)  \($0.digest.short)\n" }.joined()
                + "\(Quantity.count(summary.shards, "shard")), \(Quantity.bytes(summary.bytes)): \(Quantity.bytes(summary.fromPeers)) from peers, \(Quantity.bytes(summary.fromOrigin)) from elsewhere\n"
        )
    }
}

extension RefState {
    var fleetText: String { wanted.map { "v\($0)" } ?? "-" }
    /// A revision that the fleet does not know is shown by its digest.
    var localText: String { held.map { "v\($0)" } ?? digest?.short ?? "-" }
}
