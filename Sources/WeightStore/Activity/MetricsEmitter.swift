import Metrics
import Storage
import Support
import Synchronization

/// Emits what this process counts as swift-metrics events, for programs that embed the library and have chosen a backend with
/// `MetricsSystem.bootstrap`. Without one, it does nothing.
///
/// The events have the names and labels of ``MetricFamily``. They are differences of the counts that the process keeps anyway,
/// emitted once a second on the queue that writes its statistics, so no hit and no load pays for them. A histogram is
/// emitted as two counters: `weightstore_load_seconds_count` and `weightstore_load_seconds_sum`.
final class MetricsEmitter: Sendable {
    private struct Name: Hashable {
        let label: String
        let dimensions: [String]
    }

    private struct State {
        var sent: [Name: Double] = [:]
        var counters: [Name: FloatingPointCounter] = [:]
        var gauges: [Name: Gauge] = [:]
    }

    private let given: (any MetricsFactory)?
    private let state = Mutex(State())

    /// - Parameter factory: nil for that of the program, if it has one.
    init(factory: (any MetricsFactory)? = nil) { given = factory }

    /// Emits what has changed since the last call.
    func emit(_ statistics: ProcessStatistics) {
        let factory = given ?? MetricsSystem.factory
        if factory is NOOPMetricsHandler { return }
        var totals: [Name: (dimensions: [(String, String)], value: Double)] = [:]
        for value in statistics.activity {
            guard let (label, dimensions) = Self.name(value.key) else { continue }
            totals[Name(label: label, dimensions: dimensions.map(\.1)), default: (dimensions, 0)].value += value.value
        }
        state.withLock { state in
            for (name, total) in totals {
                let change = total.value - (state.sent[name] ?? 0)
                guard change > 0 else { continue }
                state.sent[name] = total.value
                let counter =
                    state.counters[name]
                    ?? FloatingPointCounter(label: name.label, dimensions: total.dimensions, factory: factory)
                state.counters[name] = counter
                counter.increment(by: change)
            }
            for tier in statistics.tiers {
                let values = [
                    (MetricFamily.tierBytes, tier.bytes), (.tierBudget, tier.budget), (.tierLeased, tier.leased),
                    (.tierShards, tier.shards),
                ]
                for (family, value) in values {
                    let name = Name(label: family.name, dimensions: [tier.name])
                    let gauge =
                        state.gauges[name]
                        ?? Gauge(label: family.name, dimensions: [("tier", tier.name)], factory: factory)
                    state.gauges[name] = gauge
                    gauge.record(value)
                }
            }
        }
    }

    /// The label and the dimensions of a value; nil for one that has no family.
    private static func name(_ key: ActivityKey) -> (String, [(String, String)])? {
        switch key.metric {
        case .loadSeconds: return (MetricFamily.loads.name + "_sum", [("tier", key.place)])
        case .firstByteSeconds: return (MetricFamily.firstByte.name + "_sum", [("source", key.place)])
        default: break
        }
        guard let family = MetricFamily.of(key.metric) else { return nil }
        // The buckets of a histogram are its parts.
        let isHistogram = family.kind == .histogram
        let dimensions = Array(zip(family.labels, [key.place, key.part]))
        return (isHistogram ? family.name + "_count" : family.name, dimensions)
    }
}
