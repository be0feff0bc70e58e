import ArgumentParser
import WeightStore

struct Families: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "families",
        abstract: "Show the patterns that find the layer and the expert in a tensor's name.",
        discussion: "With a name, show its layer and expert."
    ).examples("families model.layers.3.mlp.experts.60.up_proj.weight")

    @Argument(help: "A tensor's name.") var name: String?
    @OptionGroup var table: TableOptions
    @OptionGroup var output: OutputOptions

    private struct Row: Encodable {
        let pattern: String
        let example: String
        let layer: Int
        let expert: Int?
        let models: String
    }

    private struct Place: Encodable {
        let stack: String?
        let layer: Int?
        let expert: Int?
    }

    func run() throws {
        if let name {
            let place = TensorPlace(tensorName: name)
            let row = Place(stack: place.stack, layer: place.layer, expert: place.expert)
            if output.json { return try Terminal.write(json: row) }
            guard let layer = place.layer else { return try Terminal.write("\(name): belongs to no layer\n") }
            return try Terminal.write(
                "\(name): layer \(layer) of \(place.stack ?? "")"
                    + (place.expert.map { ", expert \($0)" } ?? "") + "\n")
        }
        let rows = TensorPlace.families.map {
            Row(pattern: $0.pattern, example: $0.example, layer: $0.layer, expert: $0.expert, models: $0.models)
        }
        if output.json { return try Terminal.write(json: rows) }
        var table = Table("~PATTERN", "~MODELS")
        for row in rows { table.add(row.pattern, row.models) }
        try Terminal.write(table.text)
    }
}
