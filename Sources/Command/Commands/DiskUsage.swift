import ArgumentParser
import Pictures
import WeightStore

struct DiskUsage: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "du", abstract: "Show the size of each model, and the savings by deduplication.",
        discussion: """
            LOGICAL: all files of all revisions. STORED: their distinct shards. SHARED: the part of STORED that other \
            models also contain. OWN: the bytes that removing the model would free.

            --treemap draws models, layers and shards. Bytes that several models share are drawn once, color is the \
            recent use, and bytes that are not on disk are hatched.
            """
    ).examples("du --sort own", "du --treemap disk.html")

    @Option(
        help: ArgumentHelp("Also draw what is on the disk into FILE.svg or FILE.html.", valueName: "file"),
        completion: .file(extensions: ["svg", "html"]))
    var treemap: String?
    @OptionGroup var list: ListOptions
    @OptionGroup var options: StoreOptions

    func validate() throws { try PictureFile.check("--treemap", treemap, ".svg", ".html") }

    func run() throws {
        let store = try options.open()
        if let treemap {
            let map = try store.diskMap(depth: .shards)
            try PictureFile.write(
                treemap.hasSuffix(".svg") ? DiskMapPicture(map).drawing().xml : DiskMapPage(map).html, to: treemap)
        }
        var usage = try store.usage()
        let listing = try Listing(
            usage.models, list,
            [
                .name("MODEL") { $0.model }, .count("REVISIONS") { $0.revisions }, .bytes("LOGICAL") { $0.logical },
                .bytes("STORED") { $0.stored }, .bytes("SHARED") { $0.shared }, .bytes("OWN") { $0.own },
            ])
        usage.models = listing.rows
        if options.json { return try Terminal.write(json: usage) }
        let here = usage.logicalStored
        let share = Quantity.percent(here > 0 ? Double(usage.saved) / Double(here) : 0)
        try Terminal.write(
            listing.table + "\(Quantity.bytes(here)) of files in \(Quantity.bytes(usage.stored)) of shards: "
                + "\(Quantity.bytes(usage.saved)) (\(share)) saved"
                + (usage.orphaned > 0 ? "; \(Quantity.bytes(usage.orphaned)) unreferenced" : "")
                + (usage.evicted > 0 ? "; \(Quantity.bytes(usage.evicted)) evicted" : "")
                + (usage.kv > 0 ? "; and \(Quantity.bytes(usage.kv)) of KV blocks" : "") + "\n")
    }
}
