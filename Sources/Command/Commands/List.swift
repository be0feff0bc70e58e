import ArgumentParser
import WeightStore

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the models.", aliases: ["list"])

    @Argument(help: "Only models that match a shell pattern: 'org/*'.") var pattern: String?
    @Flag(name: .shortAndLong, help: "Names only.") var quiet = false
    @OptionGroup var options: StoreOptions

    func run() throws {
        let models = try options.open().models(matching: pattern)
        if options.json { return try Terminal.write(json: models) }
        if quiet { return try Terminal.write(models.map { $0.name + "\n" }.joined()) }
        var table = Table("MODEL", ">VERSION", ">SIZE", ">TENSORS", ">LAYERS", "REFS", "PINNED", "LAST USED", ">USES")
        for model in models {
            table.add(
                model.name, (model.version.map(VersionName.text) ?? "-") + (model.partial == nil ? "" : " (partial)"),
                Quantity.bytes(model.bytes), "\(model.tensors)",
                "\(model.layers)", model.refs.joined(separator: ","), model.pinned ? "yes" : "",
                model.accesses > 0 ? Quantity.age(model.lastAccess) : "never", "\(model.accesses)")
        }
        try Terminal.write(table.text)
    }
}
