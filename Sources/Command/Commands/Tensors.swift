import ArgumentParser
import Server
import WeightStore

struct Tensors: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tensors",
        abstract: "List a revision's tensors, or those of one layer.",
        discussion: "With --digests every tensor is read.")

    @Argument(help: "The revision.") var revision: String
    @Option(help: ArgumentHelp("Only tensors of this layer.", valueName: "number")) var layer: Int?
    @Flag(help: "Show the SHA-256 of each tensor's bytes.") var digests = false
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let tensor: TensorEntry
        let digest: ContentDigest
    }

    func run() throws {
        let revision = try options.open().revision(revision)
        let entries = try revision.tensorEntries(layer: layer)
        if let layer, entries.isEmpty {
            throw StorageError.notFound(
                kind: "layer", name: "\(revision.name) layer \(layer)")
        }
        guard digests else {
            if options.json { return try Terminal.write(json: entries) }
            var table = Table("TENSOR", "DTYPE", "SHAPE", ">SIZE", ">LAYER", ">EXPERT", "SHARD", ">OFFSET", "FILE")
            for entry in entries {
                table.add(
                    entry.name, entry.dtype, Self.text(entry.shape), Quantity.bytes(entry.bytes),
                    entry.layer.map(String.init) ?? "-", entry.expert.map(String.init) ?? "-",
                    entry.shard?.short ?? "-", "\(entry.shardOffset)", entry.file)
            }
            return try Terminal.write(table.text)
        }
        let answers = try entries.map { entry in
            let bytes = try revision.tensor(entry.name, in: entry.file).bytes
            return Answer(tensor: entry, digest: bytes.withUnsafeBytes { ContentDigest(of: $0) })
        }
        if options.json { return try Terminal.write(json: answers) }
        try Terminal.write(answers.map { "\($0.digest)  \($0.tensor.name)\n" }.joined())
    }

    private static func text(_ shape: [Int]) -> String {
        "[" + shape.map(String.init).joined(separator: ", ") + "]"
    }
}
