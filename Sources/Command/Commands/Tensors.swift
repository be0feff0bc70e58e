import ArgumentParser
import Server
import WeightStore

struct Tensors: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tensors",
        abstract: "List a revision's tensors, or those of one layer.",
        discussion: "With --digests every tensor is read."
    ).examples("tensors org/llama --layer 3", "tensors org/llama --filter 'tensor=*q_proj*'")

    @Argument(help: "The revision.", completion: .revisions) var revision: String
    @Option(help: ArgumentHelp("Only tensors of this layer, from 0.", valueName: "number")) var layer: Int?
    @Flag(help: "Show the SHA-256 of each tensor's bytes.") var digests = false
    @OptionGroup var list: ListOptions
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let tensor: TensorEntry
        let digest: ContentDigest
    }

    func validate() throws {
        try OptionRange.check("--layer", layer, 0...Int.max, "leave it out for all layers")
    }

    func run() throws {
        let revision = try options.open().revision(revision)
        let all = try revision.tensorEntries(layer: layer)
        if let layer, all.isEmpty {
            throw StorageError.notFound(
                kind: "layer", name: "\(revision.name) layer \(layer)")
        }
        let listing = try Listing(all, list, Self.columns)
        let entries = listing.rows
        guard digests else { return try listing.report(options) }
        let answers = try entries.map { entry in
            let bytes = try revision.tensor(entry.name, in: entry.file).bytes
            return Answer(tensor: entry, digest: bytes.withUnsafeBytes { ContentDigest(of: $0) })
        }
        if options.json { return try Terminal.write(json: answers) }
        try Terminal.write(answers.map { "\($0.digest)  \($0.tensor.name)\n" }.joined())
    }

    private static var columns: [Listing<TensorEntry>.Column] {
        [
            .name("TENSOR") { $0.name }, .text("DTYPE") { $0.dtype }, .text("SHAPE") { text($0.shape) },
            .bytes("SIZE") { $0.bytes }, .optional("LAYER") { $0.layer }, .optional("EXPERT") { $0.expert },
            .text("SHARD") { $0.shard?.short ?? "-" }, .count("OFFSET") { $0.shardOffset }, .name("FILE") { $0.file },
        ]
    }

    private static func text(_ shape: [Int]) -> String {
        "[" + shape.map(String.init).joined(separator: ", ") + "]"
    }
}
