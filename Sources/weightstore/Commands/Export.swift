import ArgumentParser
import Synchronization
import WeightStore

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a revision's files to a directory, byte for byte, each checked as it is written.")

    @Argument(help: "The revision.") var revision: String
    @Argument(help: "Where to; made if it is not there.", completion: .directory) var directory: String
    @Argument(help: "Only these files (default: all).") var files: [String] = []

    @Flag(help: "Replace files that are there.") var force = false
    @OptionGroup var options: StoreOptions

    private struct Written: Encodable {
        let revision: String
        let directory: String
        let files: Int
        let bytes: Int
    }

    func run() throws {
        let store = try options.open()
        let revision = try store.revision(revision)
        let total = try revision.files().reduce(0) {
            files.isEmpty || files.contains($1.path) ? $0 + $1.bytes : $0
        }
        let state = Mutex(ProgressLine.State(done: 0, total: total))
        let cancelled = Atomic<Bool>(false)
        let interrupt = Interrupt { [weak store] in
            cancelled.store(true, ordering: .relaxed)
            store?.stopFetching()
        }
        let line = ProgressLine { state.withLock { $0 } }
        let written: (files: Int, bytes: Int)
        do {
            defer { line.end() }
            written = try revision.export(
                to: directory, paths: files.isEmpty ? nil : files, overwriting: force
            ) { path, bytes in
                if cancelled.load(ordering: .relaxed) { throw StoreError.cancelled }
                state.withLock { state in
                    state.label = path
                    state.done += bytes
                }
            }
        }
        withExtendedLifetime(interrupt) {}
        if options.json {
            return try Terminal.write(json: Written(
                revision: revision.name, directory: directory, files: written.files, bytes: written.bytes))
        }
        try Terminal.write(
            "\(revision.name): \(counted(written.files, "file")), \(ByteSize.text(written.bytes)) to \(directory)\n")
    }
}
