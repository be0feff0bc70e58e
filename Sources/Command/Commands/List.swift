import ArgumentParser
import WeightStore

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the models.", aliases: ["list"]
    ).examples("ls 'org/*' --sort size --limit 10", "ls --filter 'last-used>30d' --json")

    @Argument(help: "Only models that match a shell pattern: 'org/*'.", completion: .models) var pattern: String?
    @Flag(name: .shortAndLong, help: "Names only.") var quiet = false
    @OptionGroup var list: ListOptions
    @OptionGroup var options: StoreOptions

    func run() throws {
        let models = try options.open().models(matching: pattern)
        let listing = try Listing(
            models, list,
            [
                .name("MODEL") { $0.name },
                .text("VERSION") {
                    ($0.version.map(VersionName.text) ?? "-") + ($0.partial == nil ? "" : " (partial)")
                },
                .bytes("SIZE") { $0.bytes }, .here { ($0.bytes, $0.absent, $0.damaged) },
                .count("TENSORS") { $0.tensors }, .count("LAYERS") { $0.layers },
                .name("REFS") { $0.refs.joined(separator: ",") }, .text("PINNED") { $0.pinned ? "yes" : "" },
                .moment("LAST USED") { $0.accesses > 0 ? $0.lastAccess : nil }, .count("USES") { $0.accesses },
            ])
        if quiet, !options.json { return try Terminal.write(listing.rows.map { $0.name + "\n" }.joined()) }
        try listing.report(options)
    }
}
