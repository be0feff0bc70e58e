import ArgumentParser
import Synchronization

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Write a checkpoint of a published model's shapes with random weights, for trials and benchmarks.",
        discussion: "Known: \(Architecture.all.map(\.name).joined(separator: ", ")).")

    @Argument(help: "Where to; made if it is not there.", completion: .directory) var directory: String
    @Option(help: ArgumentHelp("Whose shapes.", valueName: "model")) var like = Architecture.default.name
    @Option(help: ArgumentHelp("The same number gives the same weights.", valueName: "number")) var seed: UInt64 = 1
    @Option(
        help: ArgumentHelp(
            "Make a fine-tune: q_proj and v_proj of every layer from this seed instead.", valueName: "number"))
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
            throw ValidationError("\(name): not known; give one of \(all.map(\.name).joined(separator: ", "))")
        }
        return architecture
    }
}

extension Checkpoint {
    func writeShowingProgress(to directory: String) throws {
        try LongCall.run(directory) { try write(to: directory, work: $0) }
    }
}
