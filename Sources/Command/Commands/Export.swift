import ArgumentParser
import WeightStore

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a revision's files to a directory, byte for byte, each checked as it is written."
    ).examples("export org/llama@prod ./out '*.json'")

    @Argument(help: "The revision.", completion: .revisions) var revision: String
    @Argument(help: "The target directory; created if missing.", completion: .directory) var directory: String
    @Argument(help: "Only these files (default: all).") var files: [String] = []

    @Option(
        help: ArgumentHelp(
            "Only the files that match a shell pattern: '*.json'. Each pattern must match a file. May be repeated.",
            valueName: "pattern"))
    var include: [String] = []
    @Flag(help: "No files with weights: configuration and tokenizer for an engine that has the weights elsewhere.")
    var noWeights = false
    @Flag(help: "Replace existing files.") var force = false
    @OptionGroup var options: StoreOptions

    private struct Written: Encodable {
        let revision: String
        let directory: String
        let files: Int
        let bytes: Int
        let sharedBytes: Int
    }

    func validate() throws {
        if !files.isEmpty, !include.isEmpty || noWeights {
            throw ValidationError("--include and --no-weights choose the files; name no files with them")
        }
    }

    func run() throws {
        let store = try options.open()
        options.noteReadOnly(store)
        let revision = try store.revision(revision)
        let paths = files.isEmpty ? try revision.paths(matching: include, withWeights: !noWeights) : files
        let written = try LongCall.run(stopping: store) { work in
            try revision.exportBlocking(to: directory, paths: paths, overwriting: force, work: work)
        }
        if options.json {
            return try Terminal.write(
                json: Written(
                    revision: revision.name, directory: directory, files: written.files, bytes: written.bytes,
                    sharedBytes: written.sharedBytes))
        }
        let shared =
            written.sharedBytes == 0 ? "" : ", \(Quantity.bytes(written.sharedBytes)) of them shared with the store"
        try Terminal.write(
            "\(revision.name): \(Quantity.count(written.files, "file")), \(Quantity.bytes(written.bytes)) to \(directory)\(shared)\n"
        )
    }
}
