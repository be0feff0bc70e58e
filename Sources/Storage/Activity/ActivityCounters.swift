import GRDB
import Support
import Synchronization

/// What this process counts, until it is added to the catalog. Hits are counted elsewhere, without a lock: see
/// `UseSource`.
package final class ActivityCounters: Sendable {
    private struct State {
        /// Since the process opened the store.
        var totals: [ActivityKey: Double] = [:]
        var pending = Pending()
    }

    fileprivate struct FetchKey: Hashable {
        let model: String
        let origin: String
    }

    fileprivate struct FetchSum {
        var shards = 0
        var bytes = 0
    }

    /// What was not added to the catalog yet.
    struct Pending {
        fileprivate var table: [ActivityKey: Double] = [:]
        fileprivate var fetches: [FetchKey: FetchSum] = [:]

        var isEmpty: Bool { table.isEmpty && fetches.isEmpty }

        /// Whether there is nothing, or only what changes of the catalog have counted about themselves.
        var hasOnlyWrites: Bool {
            fetches.isEmpty && table.keys.allSatisfy { [.writes, .writeWaitSeconds].contains($0.metric) }
        }

        fileprivate mutating func addFetch(_ key: FetchKey, shards: Int, bytes: Int) {
            var sum = fetches[key] ?? FetchSum()
            sum.shards.add(saturating: shards)
            sum.bytes.add(saturating: bytes)
            fetches[key] = sum
        }

        fileprivate mutating func merge(_ other: Pending) {
            for (key, value) in other.table { table[key, default: 0] += value }
            for (key, sum) in other.fetches { addFetch(key, shards: sum.shards, bytes: sum.bytes) }
        }

        /// Adds the counts to the catalog, and an event for the fetches of each model from each origin.
        func save(at moment: Int, _ db: Database) throws {
            try ActivityTable.add(ActivityCounters.values(table), at: moment, db)
            for (key, sum) in fetches.sorted(by: { ($0.key.model, $0.key.origin) < ($1.key.model, $1.key.origin) }) {
                try EventTable.append(
                    StoreEvent(
                        .fetched, key.model, bytes: sum.bytes, count: sum.shards, detail: "on use, from \(key.origin)"),
                    db)
            }
        }
    }

    private let state = Mutex(State())

    package init() {}

    /// Adds to a metric.
    package func add(_ value: Double, to metric: ActivityMetric, _ place: String = "", part: String = "") {
        add([ActivityValue(ActivityKey(metric, place, part: part), value)])
    }

    /// Adds to metrics.
    package func add(_ values: [ActivityValue]) {
        state.withLock { state in
            for value in values where value.value > 0 {
                state.totals[value.key, default: 0] += value.value
                state.pending.table[value.key, default: 0] += value.value
            }
        }
    }

    /// Counts a change of the catalog, and its wait for the write lock.
    func addWrite(waited: Duration) {
        add([
            ActivityValue(ActivityKey(.writes), 1), ActivityValue(ActivityKey(.writeWaitSeconds), waited / .seconds(1)),
        ])
    }

    /// Counts a shard that was fetched because something read it. Those of a model and an origin become one event.
    package func addFetch(of model: String, from origin: String, bytes: Int) {
        state.withLock { $0.pending.addFetch(FetchKey(model: model, origin: origin), shards: 1, bytes: bytes) }
    }

    /// The values since the process opened the store.
    package var totals: [ActivityValue] { Self.values(state.withLock { $0.totals }) }

    /// What was counted since the last call.
    func drain() -> Pending {
        state.withLock { state in
            defer { state.pending = Pending() }
            return state.pending
        }
    }

    /// Undoes a call of `drain` whose result could not be added to the catalog.
    func restore(_ pending: Pending) {
        state.withLock { $0.pending.merge(pending) }
    }

    fileprivate static func values(_ table: [ActivityKey: Double]) -> [ActivityValue] {
        table.map { ActivityValue($0.key, $0.value) }.sorted {
            ($0.key.metric.rawValue, $0.key.place, $0.key.part) < ($1.key.metric.rawValue, $1.key.place, $1.key.part)
        }
    }
}
