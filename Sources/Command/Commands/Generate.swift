import ArgumentParser
import WeightStore

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Write a checkpoint with a published model's shapes and random weights, for trials and benchmarks.",
        discussion: "Models: \(Architecture.all.map(\.name).joined(separator: ", ")).")

    @Argument(help: "The target directory; created if missing.", completion: .directory) var directory: String
    @Option(help: ArgumentHelp("The model with the shapes.", valueName: "model")) var like = Architecture.default.name
    @Option(help: ArgumentHelp("The same number gives the same weights.", valueName: "number")) var seed: UInt64 = 1
    @Option(
        help: ArgumentHelp(
            "Write a fine-tune: q_proj and v_proj of every layer from this seed.", valueName: "number"))
    var tune: UInt64?

    func run() throws {
        let architecture = try Architecture.named(like)
        try Checkpoint(architecture: architecture, seed: seed, tuning: tune).writeShowingProgress(to: directory)
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
