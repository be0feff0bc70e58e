import ArgumentParser

struct Tag: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tag",
        abstract: "Let a ref (main, prod, …) name a revision: make it, or move it.")

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
        guard parts.count == 2 else { throw ValidationError("\(name): give the ref as model@ref") }
        try options.open().removeRef(parts[1], of: parts[0])
        try Changed(revision: parts[0], ref: parts[1]).report("\(name) removed", options)
    }
}

struct Pin: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin",
        abstract: "Keep a revision: prune passes it over and rm refuses it, until it is unpinned.")

    @Argument(help: "The revision.") var revision: String
    @Option(help: ArgumentHelp("Why.", valueName: "text")) var note = ""
    @OptionGroup var options: StoreOptions

    func run() throws {
        let name = try options.open().pin(revision, note: note)
        try Changed(revision: name).report("\(name) pinned", options)
    }
}

struct Unpin: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "unpin", abstract: "Take a pin away.")

    @Argument(help: "The revision.") var revision: String
    @OptionGroup var options: StoreOptions

    func run() throws {
        let (name, wasPinned) = try options.open().unpin(revision)
        try Changed(revision: name).report("\(name) \(wasPinned ? "unpinned" : "was not pinned")", options)
    }
}

/// The answer of a command that changes a name.
private struct Changed: Encodable {
    let revision: String
    var ref: String?

    func report(_ text: String, _ options: StoreOptions) throws {
        try options.json ? Terminal.write(json: self) : Terminal.write(text + "\n")
    }
}
