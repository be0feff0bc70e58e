import Storage
import Synchronization

/// A list of files that several lanes read; each lane reads the next one.
final class FileReadQueue: Sendable {
    private struct State {
        var next = 0
        var ingests: [Int: FileIngest] = [:]
        var known: [Int: FileContent] = [:]
    }

    private let files: [(location: String, blob: HubBlob?)]
    private let trusting: Bool
    private let state = Mutex(State())

    init(_ files: [(location: String, blob: HubBlob?)], trusting: Bool) {
        self.files = files
        self.trusting = trusting
    }

    /// The files, by index in the list.
    var ingests: [Int: FileIngest] { state.withLock { $0.ingests } }
    /// The contents that the store held already, by index in the list.
    var known: [Int: FileContent] { state.withLock { $0.known } }

    /// Reads until no file is left, or a part of the import has failed.
    func lane(_ run: ImportRun) {
        while let index = next() {
            let ingest = FileIngest(files[index].location, blob: files[index].blob, run: run)
            state.withLock { $0.ingests[index] = ingest }
            do {
                try run.check()
                guard let content = try ingest.start(trusting: trusting) else { continue }
                state.withLock { $0.known[index] = content }
            } catch {
                return run.fail(error)
            }
        }
    }

    private func next() -> Int? {
        state.withLock { state in
            guard state.next < files.count else { return nil }
            defer { state.next += 1 }
            return state.next
        }
    }
}
