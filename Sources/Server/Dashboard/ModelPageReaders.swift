import Synchronization

/// The readers of the models' pages that streams follow: one for each model, as long as a stream follows it.
final class ModelPageReaders: Sendable {
    private struct Entry {
        let reader: ModelPageReader
        var streams = 0
    }

    private let data: DashboardData
    private let entries = Mutex<[String: Entry]>([:])

    init(_ data: DashboardData) { self.data = data }

    /// The reader of a model's page, until the matching ``end(_:)``.
    func begin(_ model: String) -> ModelPageReader {
        entries.withLock { [data] entries in
            var entry =
                entries[model]
                ?? Entry(
                    reader: ModelPageReader {
                        try await data.state(of: model)
                    } read: {
                        ModelPage.body(try await data.details(of: model)).text
                    })
            entry.streams += 1
            entries[model] = entry
            return entry.reader
        }
    }

    /// Ends the use of a reader by a stream.
    func end(_ model: String) {
        entries.withLock { entries in
            entries[model]?.streams -= 1
            if entries[model]?.streams == 0 { entries[model] = nil }
        }
    }
}
