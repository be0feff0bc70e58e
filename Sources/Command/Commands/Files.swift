import ArgumentParser
import WeightStore

struct Files: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "files", abstract: "List a revision's files.")

    @Argument(help: "The revision.") var revision: String
    @OptionGroup var options: StoreOptions

    func run() throws {
        let files = try options.open().revision(revision).files()
        if options.json { return try Terminal.write(json: files) }
        var table = Table("SHA-256", ">SIZE", ">SHARDS", ">TENSORS", "FORMAT", "PATH")
        for file in files {
            table.add(
                file.digest.hex, Quantity.bytes(file.bytes), "\(file.shards)", "\(file.tensors)", file.format, file.path
            )
        }
        try Terminal.write(table.text)
    }
}
