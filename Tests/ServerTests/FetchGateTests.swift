import Foundation
import HTTPTypes
import TestSupport
import Testing
import WireFormats
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

    @Test("beyond the limit of waiting fetches, others are refused with 503 and Retry-After; what can begin, begins")
    func waiting() async throws {
        let gate = FetchGate<String, Int>(.init(total: 2, perModel: 1, waiting: 1), metrics)
        @Sendable func stall(_ key: String) async throws -> Int {
            try await gate.value(of: key, model: "a") {
                try await Task.sleep(for: .seconds(1000))
                return 0
            }
        }
        var stalled = [Task { try await stall("a1") }]
        #expect(try await eventually { metrics.running.value == 1 })
        stalled.append(Task { try await stall("a2") })
        #expect(try await eventually { metrics.waiting.value == 1 })
        let refusal = await #expect(throws: HubError.self) { try await stall("a3") }
        #expect(refusal?.status == .serviceUnavailable && refusal?.fields[.retryAfter] != nil)
        #expect(metrics.refused.value == 1 && metrics.waiting.value == 1)
        // A fetch of another model need not wait, and a client that joins a waiting one adds none.
        #expect(try await gate.value(of: "b", model: "b") { 7 } == 7)
        stalled.append(Task { try await stall("a2") })
        for task in stalled { task.cancel() }
        #expect(try await eventually { metrics.running.value == 0 && metrics.waiting.value == 0 })
        #expect(metrics.refused.value == 1)
        for task in stalled { await #expect(throws: CancellationError.self) { try await task.value } }
    }
}
