import ArgumentParser
import WeightStore

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Write a checkpoint with a published model's shapes and random weights, for trials and benchmarks.",
        discussion: """
            Models (--like): \(Architecture.all.map(\.name).joined(separator: ", ")).

            Shapes of mixtures of experts and of many tensors (--shape):
            \(ReducedShape.allCases.map { "  \($0.rawValue): \($0.summary)" }.joined(separator: "\n"))
            """
    ).examples("generate ./model --like smollm2-135m")

    @Argument(help: "The target directory; created if missing.", completion: .directory) var directory: String
    @Option(
        help: ArgumentHelp(
            "The model with the shapes (default: \(Architecture.default.name)).", valueName: "model"))
    var like: String?
    @Option(
        help: ArgumentHelp("A shape instead of a model.", valueName: "shape"),
        completion: .list(ReducedShape.allCases.map(\.rawValue)))
    var shape: String?
    @Option(help: ArgumentHelp("The hidden size of a mixture, 64 to 7168 (default: 256).", valueName: "number"))
    var width: Int?
    @Option(help: ArgumentHelp("The number of layers, at most that of the published model.", valueName: "number"))
    var layers: Int?
    @Option(help: ArgumentHelp("The experts of a layer, at most those of the published model.", valueName: "number"))
    var experts: Int?
    @Option(help: ArgumentHelp("The tensors of many-tensors, 1 to 1000000 (default: 1000000).", valueName: "number"))
    var tensors: Int?
    @Option(help: ArgumentHelp("The same number gives the same weights.", valueName: "number")) var seed: UInt64 = 1
    @Option(
        help: ArgumentHelp(
            "Write a fine-tune: q_proj and v_proj of every layer (q_b_proj and kv_b_proj of a mixture) from this seed.",
            valueName: "number"))
    var tune: UInt64?

    func run() throws {
        let shape = try chosenShape()
        if tune != nil, shape.tunedParts.isEmpty {
            throw ValidationError("--tune: --shape \(shape.name) has no fine-tune; leave it out")
        }
        try Checkpoint(shape: shape, seed: seed, tuning: tune).writeShowingProgress(to: directory)
    }

    private func chosenShape() throws -> any CheckpointShape {
        let given = [("--width", width), ("--layers", layers), ("--experts", experts), ("--tensors", tensors)]
            .filter { $0.1 != nil }.map(\.0)
        guard let name = shape else {
            if let option = given.first { throw ValidationError("\(option): only for a shape; name one with --shape") }
            return try like.map { try Architecture.named($0) } ?? Architecture.default
        }
        guard like == nil else { throw ValidationError("--like and --shape exclude each other; give one of them") }
        guard let shape = ReducedShape(rawValue: name) else {
            throw ValidationError(
                "--shape \(name): must be one of \(ReducedShape.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        let known = shape.ranges.map(\.option)
        if let option = given.first(where: { !known.contains($0) }) {
            throw ValidationError("\(option): not for --shape \(name), which has \(known.joined(separator: ", "))")
        }
        let options = ReducedShape.Options(width: width, layers: layers, experts: experts, tensors: tensors)
        for (option, value, range) in shape.ranges {
            try OptionRange.check(option, options[keyPath: value], range, "leave it out for the default")
        }
        return shape.shape(options)
    }
}

extension Architecture {
    static var `default`: Architecture { all[1] }

    static func named(_ name: String) throws -> Architecture {
        guard let architecture = all.first(where: { $0.name == name }) else {
            throw ValidationError("--like \(name): must be one of \(all.map(\.name).joined(separator: ", "))")
        }
        return architecture
    }
}

extension Checkpoint {
    /// Writes the files. After an error or an interrupt, those that it had begun are removed.
    func writeShowingProgress(to directory: String) throws {
        let unfinished = UnfinishedFiles()
        Signals.whenEnded { unfinished.remove() }
        do {
            try LongCall.run(directory) { try write(to: directory, unfinished, work: $0) }
            unfinished.keep()
        } catch {
            unfinished.remove()
            throw error
        }
    }
}
