import ArgumentParser
import Server
import WeightStore

struct Record: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record",
        abstract: "Record the accesses of all processes for policy simulate: on, off, or show the state.",
        discussion: "The record is a ring of two files of 32 MiB, with a line time,id,size for each access."
    ).examples("record on")

    enum Switch: String, ExpressibleByArgument, CaseIterable { case on, off }

    @Argument(help: "on or off (default: show the state).") var state: Switch?
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
