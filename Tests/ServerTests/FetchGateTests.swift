import Foundation
import TestSupport
import Testing
@testable import Server

@Suite(.blocking) struct FetchGateTests {
    private let metrics = FetchMetrics()

    @Test("a model has at most its limit of fetches, those of other models begin, and each ends with its last caller")
    func limits() async throws {
        let gate = FetchGate<String, Int>(.init(total: 3, perModel: 2), metrics)
        let stalled = ["a1", "a2", "a3"].map { key in
            Task {
                try await gate.value(of: key, model: "a") {
                    try await Task.sleep(for: .seconds(1000))
                    return 0
                }
            }
        }
        #expect(try await eventually { metrics.running.value == 2 && metrics.waiting.value == 1 })
        #expect(try await gate.value(of: "b", model: "b") { 7 } == 7)
        #expect(metrics.running.value == 2 && metrics.waiting.value == 1)
        for task in stalled { task.cancel() }
        #expect(try await eventually { metrics.running.value == 0 && metrics.cancelled.value == 3 })
        #expect(metrics.waiting.value == 0)
        for task in stalled { await #expect(throws: CancellationError.self) { try await task.value } }
    }
}
