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

    @Flag(help: "Replace existing files.") var force = false
    @OptionGroup var options: StoreOptions

    private struct Written: Encodable {
        let revision: String
        let directory: String
        let files: Int
        let bytes: Int
    }

    func run() throws {
        let store = try options.open()
        options.noteReadOnly(store)
        let revision = try store.revision(revision)
        let written = try LongCall.run(stopping: store) { work in
            try revision.exportBlocking(
                to: directory, paths: files.isEmpty ? nil : files, overwriting: force, work: work)
        }
        if options.json {
            return try Terminal.write(
                json: Written(
                    revision: revision.name, directory: directory, files: written.files, bytes: written.bytes))
        }
        try Terminal.write(
            "\(revision.name): \(Quantity.count(written.files, "file")), \(Quantity.bytes(written.bytes)) to \(directory)\n"
        )
    }
}
