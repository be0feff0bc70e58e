import ArgumentParser
import WeightStore

struct Tag: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tag",
        abstract: "Point a ref (main, prod, …) at a revision: create or move it."
    ).examples("tag org/llama@~3 prod")

    @Argument(help: "The revision.", completion: .revisions) var revision: String
    @Argument(help: "The ref.", completion: .refs) var ref: String
    @OptionGroup var options: StoreOptions

    func run() throws {
        let name = try options.open().setRef(ref, to: revision)
        try Changed(revision: name, ref: ref).report("\(ref) → \(name)", options)
    }
}

struct Untag: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "untag", abstract: "Remove a ref; its revision stays.")
        .examples("untag org/llama@prod")

    @Argument(help: "The ref, as model@ref.", completion: .revisions) var name: String
    @OptionGroup var options: StoreOptions

    func run() throws {
        let parts = name.byteParts("@", maxSplits: 1)
        guard parts.count == 2 else { throw ValidationError("\(name): must be model@ref") }
        try options.open().removeRef(parts[1], of: parts[0])
        try Changed(revision: parts[0], ref: parts[1]).report("\(name) removed", options)
    }
}

struct Pin: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin",
        abstract: "Keep a revision: until it is unpinned, prune skips it and rm refuses to remove it.",
        discussion: "Its shards are not evicted from then on. --fetch fetches those that were evicted before."
    ).examples("pin org/llama@prod --note \"serving\"")

    @Argument(help: "The revision.", completion: .revisions) var revision: String
    @Option(help: ArgumentHelp("The reason.", valueName: "text")) var note = ""
    @Flag(help: "Fetch the shards that were evicted.") var fetch = false
    @OptionGroup var options: StoreOptions

    func run() throws {
        let store = try options.open()
        // The pin first, so that nothing is evicted while other shards are fetched.
        let name = try store.pin(revision, note: note)
        if fetch {
            try LongCall.run(name, stopping: store) { work in try store.fetchEvicted(of: name, work: work) }
        }
        let absent = try store.absentShards(of: name)
        var changed = Changed(revision: name)
        changed.absent = absent
        try changed.report((["\(name) pinned"] + absent.lines).joined(separator: "; "), options)
    }
}

struct Unpin: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "unpin", abstract: "Remove a pin.").examples(
        "unpin org/llama@prod")

    @Argument(help: "The revision.", completion: .revisions) var revision: String
    @OptionGroup var options: StoreOptions

    func run() throws {
        let (name, wasPinned) = try options.open().unpin(revision)
        try Changed(revision: name).report("\(name) \(wasPinned ? "unpinned" : "was not pinned")", options)
    }
}

/// The output of a command that changes a ref or a pin.
private struct Changed: Encodable {
    let revision: String
    var ref: String?
    /// The bytes that a pinned revision lacks.
    var absent: AbsentShards?

    func report(_ text: String, _ options: StoreOptions) throws {
        try options.json ? Terminal.write(json: self) : Terminal.write(text + "\n")
    }
}
