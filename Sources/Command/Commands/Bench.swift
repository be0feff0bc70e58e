import ArgumentParser
import DeviceMemory
import Foundation
import WeightStore

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure how fast a model loads into RAM and onto a device, compared with the machine's raw limits.",
        discussion: """
            Cold means that the files were dropped from the page cache. Without a model, a checkpoint and a fine-tune \
            of it are generated, and deleted afterwards.
            """
    ).examples("bench org/llama --device gpu")

    @Argument(help: "A revision in the store.", completion: .revisions) var model: String?
    @Option(help: ArgumentHelp("A fine-tune, loaded while the model is resident.", valueName: "revision")) var tuned:
        String?
    @Option(help: ArgumentHelp("The shapes of the generated checkpoint.", valueName: "model")) var like = "llama-3.2-1b"
    @Option(help: ArgumentHelp("gpu, or a device: \(DeviceKinds.names) (default: RAM only).", valueName: "device"))
    var device: Tier?
    @Option(help: ArgumentHelp("Runs of each measurement; the median is shown.", valueName: "count")) var runs = 5
    @OptionGroup var options: StoreOptions

    func validate() throws {
        try OptionRange.check("--runs", runs, 1...10_000, "5 is the default")
        if device == .ram {
            throw ValidationError(
                "--device ram: must be gpu, host, or a CUDA device such as cuda:0; RAM is always measured")
        }
    }

    func run() throws {
        if let model { return try measure(options.path, model, tuned) }
        let place = NSTemporaryDirectory() + "weightstore-bench-\(getpid())"
        defer {
            // After a failure the files stay in the directory for temporary files.
            try? FileManager.default.removeItem(atPath: place)
        }
        Signals.whenEnded { try? FileManager.default.removeItem(atPath: place) }
        let architecture = try Architecture.named(like)
        let store = try Store(at: place + "/store", create: true)
        for (name, tuning) in [("base", nil), ("tuned", 7 as UInt64)] {
            let source = "\(place)/\(name)"
            try Checkpoint(shape: architecture, tuning: tuning).writeShowingProgress(to: source)
            var request = ImportRequest(source: source)
            request.move = true
            _ = try LongCall.run(stopping: store) { try store.importModelBlocking(request, work: $0) }
        }
        try measure(store.path, "base", "tuned")
    }

    private func measure(_ store: String, _ model: String, _ tuned: String?) throws {
        var figures: [TierBenchmark.Figure] = []
        let report: (TierBenchmark.Figure) throws -> Void = { figure in
            if options.json { return figures.append(figure) }
            try Terminal.write(figure.text + "\n")
        }
        try TierBenchmark(store: store, model: model, tuned: tuned, device: device, runs: runs, report: report).run()
        if options.json { try Terminal.write(json: figures) }
    }
}

extension TierBenchmark.Figure {
    fileprivate var text: String {
        func column(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(width - text.count, 0)) + text
        }
        let time = seconds < 1e-3 ? String(format: "%.0f ns", seconds * 1e9) : Quantity.seconds(seconds)
        var text =
            name.padding(toLength: 46, withPad: " ", startingAt: 0)
            + column(rate.map { Quantity.bytes($0) + "/s" } ?? "", 12) + column(time, 10)
            + column(bytes.map { Quantity.bytes($0) } ?? "", 10)
        if let ratio, let limit { text += String(format: "  %.2f of ", ratio) + limit }
        return text
    }
}
