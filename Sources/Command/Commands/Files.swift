import ArgumentParser
import WeightStore

struct Files: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "files", abstract: "List a revision's files.")
        .examples("files org/llama --sort size")

    @Argument(help: "The revision.", completion: .revisions) var revision: String
    @OptionGroup var list: ListOptions
    @OptionGroup var options: StoreOptions

    func run() throws {
        let files = try options.open().revision(revision).files()
        try Listing(
            files, list,
            [
                .name("SHA-256") { $0.digest.hex }, .bytes("SIZE") { $0.bytes }, .count("SHARDS") { $0.shards },
                .count("TENSORS") { $0.tensors }, .text("FORMAT") { $0.format }, .name("PATH") { $0.path },
            ]
        ).report(options)
    }
}
