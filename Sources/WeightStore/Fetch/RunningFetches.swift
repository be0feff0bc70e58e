import Storage
import Support
import Synchronization

/// The fetches of this process that are in progress, for its statistics.
final class RunningFetches: Sendable {
    private struct Fetch {
        let model: String
        let origin: String
        let startedAt: Int
        /// Bytes that have arrived, and that are to arrive.
        let progress: @Sendable () -> (bytes: Int, total: Int)
    }

    private struct State {
        var next = 0
        var running: [Int: Fetch] = [:]
    }

    private let state = Mutex(State())

    /// Runs `body`, and lists the fetch meanwhile.
    func during<Result>(
        _ model: String, from origin: String, progress: @escaping @Sendable () -> (bytes: Int, total: Int),
        _ body: () throws -> Result
    ) rethrows -> Result {
        let number = state.withLock { state in
            state.next += 1
            state.running[state.next] = Fetch(
                model: model, origin: origin.withoutURLSecrets, startedAt: StoreClock.now, progress: progress)
            return state.next
        }
        defer { _ = state.withLock { $0.running.removeValue(forKey: number) } }
        return try body()
    }

    /// As above, with the bytes that a work counts from now on.
    func during<Result>(
        _ model: String, from origin: String, _ work: Work, _ body: () throws -> Result
    ) rethrows -> Result {
        let before = work.progress
        return try during(model, from: origin) {
            let progress = work.progress
            return (max(progress.done - before.done, 0), max(progress.total - before.total, 0))
        } _: {
            try body()
        }
    }

    /// The fetches, the oldest first. Shards of one model from one origin are one fetch.
    var all: [ProcessStatistics.Fetch] {
        let running = state.withLock { $0.running.sorted { $0.key < $1.key }.map(\.value) }
        var all: [ProcessStatistics.Fetch] = []
        for fetch in running {
            let progress = fetch.progress()
            let known = all.firstIndex { $0.model == fetch.model && $0.origin == fetch.origin }
            let before = known.map { all[$0] }
            let sum = ProcessStatistics.Fetch(
                model: fetch.model, origin: fetch.origin, startedAt: before?.startedAt ?? fetch.startedAt,
                bytes: progress.bytes.adding(saturating: before?.bytes ?? 0),
                total: progress.total.adding(saturating: before?.total ?? 0))
            if let known { all[known] = sum } else { all.append(sum) }
        }
        return all
    }
}
