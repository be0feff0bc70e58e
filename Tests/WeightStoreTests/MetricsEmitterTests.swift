import Metrics
import Storage
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// The events for the metrics backend of a program that embeds the library.
@Suite(.blocking) struct MetricsEmitterTests {
    @Test("what a process counts is emitted once, with the names and labels of /metrics")
    func differences() {
        let backend = Backend()
        let emitter = MetricsEmitter(factory: backend)
        var statistics = ProcessStatistics(pid: 1, program: "engine", version: "", user: "", startedAt: nil)
        statistics.activity = [
            ActivityValue(ActivityKey(.hits, "ram"), 3), ActivityValue(ActivityKey(.evictions, "ram", part: "lru"), 2),
            ActivityValue(ActivityKey(.loads, "ram", part: "0.001"), 1),
            ActivityValue(ActivityKey(.loads, "ram", part: "0.005"), 1),
        ]
        statistics.tiers = [ProcessStatistics.Tier(name: "ram", budget: 1000)]
        emitter.emit(statistics)
        emitter.emit(statistics)
        statistics.activity[0] = ActivityValue(ActivityKey(.hits, "ram"), 5)
        emitter.emit(statistics)
        #expect(backend.value("weightstore_hits_total{tier=ram}") == 5)
        #expect(backend.value("weightstore_evictions_total{tier=ram,policy=lru}") == 2)
        #expect(backend.value("weightstore_load_seconds_count{tier=ram}") == 2)
        #expect(backend.value("weightstore_tier_budget_bytes{tier=ram}") == 1000)
    }
}

/// Adds up counters, and keeps the last values of gauges.
private final class Backend: MetricsFactory {
    final class Value: CounterHandler, RecorderHandler, TimerHandler {
        let number = Mutex(0.0)
        func increment(by amount: Int64) { number.withLock { $0 += Double(amount) } }
        func reset() { number.withLock { $0 = 0 } }
        func record(_ value: Int64) { number.withLock { $0 = Double(value) } }
        func record(_ value: Double) { number.withLock { $0 = value } }
        func recordNanoseconds(_ duration: Int64) { number.withLock { $0 = Double(duration) } }
    }

    private let values = Mutex<[String: Value]>([:])

    func value(_ name: String) -> Double? { values.withLock { $0[name] }?.number.withLock { $0 } }

    private func make(_ label: String, _ dimensions: [(String, String)]) -> Value {
        let name = label + "{" + dimensions.map { "\($0)=\($1)" }.joined(separator: ",") + "}"
        return values.withLock { values in
            let value = values[name] ?? Value()
            values[name] = value
            return value
        }
    }

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler { make(label, dimensions) }
    func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler { make(label, dimensions) }
    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler { make(label, dimensions) }
    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
    func destroyTimer(_ handler: any TimerHandler) {}
}
