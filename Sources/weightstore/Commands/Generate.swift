import ArgumentParser
import Synchronization
import WeightStore

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
        let state = Mutex(ProgressLine.State(done: 0, total: 0))
        let cancelled = Atomic<Bool>(false)
        let interrupt = Interrupt { cancelled.store(true, ordering: .relaxed) }
        let line = ProgressLine { state.withLock { $0 } }
        defer { line.end() }
        try write(to: directory) { done, total in
            if cancelled.load(ordering: .relaxed) { throw StoreError.cancelled }
            state.withLock { $0 = .init(done: done, total: total, label: directory) }
        }
        withExtendedLifetime(interrupt) {}
    }
}
