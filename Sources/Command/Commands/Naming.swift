import ArgumentParser

struct Tag: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tag",
        abstract: "Point a ref (main, prod, …) at a revision: create or move it.")

    @Argument(help: "The revision.") var revision: String
    @Argument(help: "The ref.") var ref: String
    @OptionGroup var options: StoreOptions

    func run() throws {
        let name = try options.open().setRef(ref, to: revision)
        try Changed(revision: name, ref: ref).report("\(ref) → \(name)", options)
    }
}

struct Untag: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "untag", abstract: "Remove a ref; its revision stays.")

    @Argument(help: "The ref, as model@ref.") var name: String
    @OptionGroup var options: StoreOptions

    func run() throws {
        let parts = name.split(separator: "@", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { throw ValidationError("\(name): must be model@ref") }
        try options.open().removeRef(parts[1], of: parts[0])
        try Changed(revision: parts[0], ref: parts[1]).report("\(name) removed", options)
    }
}

struct Pin: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin",
        abstract: "Keep a revision: until it is unpinned, prune skips it and rm refuses to remove it.")

    @Argument(help: "The revision.") var revision: String
    @Option(help: ArgumentHelp("The reason.", valueName: "text")) var note = ""
    @OptionGroup var options: StoreOptions

    func run() throws {
        let name = try options.open().pin(revision, note: note)
        try Changed(revision: name).report("\(name) pinned", options)
    }
}

struct Unpin: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "unpin", abstract: "Remove a pin.")

    @Argument(help: "The revision.") var revision: String
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

    func report(_ text: String, _ options: StoreOptions) throws {
        try options.json ? Terminal.write(json: self) : Terminal.write(text + "\n")
    }
}
