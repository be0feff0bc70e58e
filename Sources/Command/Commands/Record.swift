import ArgumentParser
import Server

struct Record: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record",
        abstract: "Write down the accesses of all processes, for policy simulate: on, off, or neither to ask.",
        discussion: "The files are a ring of twice 32 MB, a line time,id,size for each access.")

    enum Switch: String, ExpressibleByArgument, CaseIterable { case on, off }

    @Argument(help: "on or off.") var state: Switch?
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let recording: Bool
        let files: [String]
    }

    func run() throws {
        let store = try options.open()
        if let state { try store.setRecordsAccesses(state == .on) }
        let answer = Answer(recording: try store.recordsAccesses, files: store.accessFiles)
        if options.json { return try Terminal.write(json: answer) }
        try Terminal.write(
            "recording is \(answer.recording ? "on" : "off")\n" + answer.files.map { $0 + "\n" }.joined())
    }
}
