import ArgumentParser
import WeightStore

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the models.", aliases: ["list"])

    @Argument(help: "Only models that match a shell pattern: 'org/*'.") var pattern: String?
    @Flag(name: .shortAndLong, help: "Names only.") var quiet = false
    @OptionGroup var list: ListOptions
    @OptionGroup var options: StoreOptions

    func run() throws {
        let models = try options.open().models(matching: pattern)
        let listing = try Listing(
            models, list,
            [
                .name("MODEL") { $0.name },
                .count("VERSION") { $0.version ?? 0 },
            ])
        if quiet, !options.json { return try Terminal.write(listing.rows.map { $0.name + "\n" }.joined()) }
        try listing.report(options)
    }
}
