import ArgumentParser
import Glibc
import WeightStore

struct Cat: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cat",
        abstract: "Write a file, or a tensor's bytes, to standard output.",
        discussion: """
            A file is checked against its SHA-256 while it is written; a mismatch is reported at the end, with exit \
            status 3.
            """
    ).examples("cat org/llama config.json")

    @Argument(help: "The revision.", completion: .revisions) var revision: String
    @Argument(help: "The file's path in the revision, or with --tensor a tensor's name.") var name: String
    @Flag(help: "The name is a tensor's.") var tensor = false
    @OptionGroup var options: StoreLocation

    func run() throws {
        let store = try options.open()
        options.noteReadOnly(store)
        let revision = try store.revision(revision)
        if tensor {
            try revision.tensor(name).bytes.withUnsafeBytes { bytes in
                try writeAll(bytes, to: STDOUT_FILENO, name: "standard output")
            }
        } else {
            try revision.write(name, to: STDOUT_FILENO)
        }
    }
}
