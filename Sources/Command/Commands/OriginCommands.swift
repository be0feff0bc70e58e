import ArgumentParser
import WeightStore

struct OriginCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "origin",
        abstract: "List, add, remove and check the origins of revisions.",
        discussion: """
            An origin belongs to a revision. A shard may be evicted only if every revision that contains it has a \
            confirmed origin: the revision was pulled from there, or a check found it there.

            The name of a model means all of its revisions; model@rev means one.
            """,
        subcommands: [OriginList.self, OriginAdd.self, OriginRemove.self, OriginCheck.self]
    ).examples("origin ls org/llama")
}

struct OriginList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the origins of revisions, the nearest first."
    ).examples("origin ls --filter 'checked=never'")

    @Argument(help: "A model, or a revision of it (default: all models).", completion: .revisions) var name: String?
    @OptionGroup var list: ListOptions
    @OptionGroup var options: StoreOptions

    func run() throws {
        let origins = try options.open().revisionOrigins(of: name)
        try Listing(
            origins, list,
            [
                .name("REVISION") { $0.revision }, .name("ORIGIN") { $0.origin },
                .text("CHECKED") { origin in
                    origin.checked.map { Quantity.age($0) }
                        ?? origin.absent.map { "lacked it \(Quantity.age($0))" } ?? "never"
                },
            ]
        ).report(options)
    }
}

struct OriginAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Add an origin, after a check that it holds the revisions.",
        discussion: """
            The origin is added to each revision that it holds; the other revisions are listed. If it holds none, \
            the command fails.
            """
    ).examples("origin add org/llama https://huggingface.co")

    @Argument(help: "A model, or a revision of it.", completion: .revisions) var name: String
    @Argument(help: ArgumentHelp("The origin: https://…, s3://…, peer+https://…, file:///….", valueName: "url"))
    var url: String
    @Flag(help: "Do not check the origin: it counts as checked.") var trust = false
    @OptionGroup var options: StoreOptions

    func run() throws {
        let store = try options.open()
        let outcomes = try LongCall.run(stopping: store) { work in
            try store.addOrigin(url, to: name, trusting: trust, work: work)
        }
        try outcomes.report(options)
    }
}

struct OriginRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove an origin.",
        discussion: "Keeps the last origin that has shards that are not stored, unless --force is given."
    ).examples("origin rm org/llama s3://old-bucket/models")

    @Argument(help: "A model, or a revision of it.", completion: .revisions) var name: String
    @Argument(help: ArgumentHelp("The origin.", valueName: "url")) var url: String
    @Flag(name: .shortAndLong, help: "Remove it even if shards are lost.") var force = false
    @OptionGroup var options: StoreOptions

    func run() throws {
        let revisions = try options.open().removeOrigin(url, from: name, force: force)
        try options.json
            ? Terminal.write(json: revisions)
            : Terminal.write("\(url) removed from \(revisions.joined(separator: ", "))\n")
    }
}

struct OriginCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check that the origins hold the revisions.",
        discussion: """
            Lists the origins that lack a revision. The shards of such a revision are not evicted unless another \
            origin holds it. Exit status 12 if an origin does not respond.
            """
    ).examples("origin check org/llama")

    @Argument(help: "A model, or a revision of it (default: all models).", completion: .revisions) var name: String?
    @OptionGroup var options: StoreOptions

    func run() throws {
        let store = try options.open()
        let outcomes = try LongCall.run(stopping: store) { work in try store.checkOrigins(of: name, work: work) }
        try outcomes.report(options)
        if outcomes.contains(where: { $0.state == .unanswered }) { throw ExitCode(ExitStatus.unchecked.rawValue) }
    }
}

extension [OriginCheckOutcome] {
    fileprivate func report(_ options: StoreOptions) throws {
        try options.json
            ? Terminal.write(json: self) : Terminal.write(map { "\($0.text)\n" }.joined())
    }
}
