import Support
import Synchronization
import TestSupport
import Testing
@testable import Server

/// Values that are computed at most once per time.
@Suite(.blocking) struct RecentTests {
    private enum Failure: Error { case first }

    @Test("a computation that runs longer than its value stays recent is not started again")
    func slow() async throws {
        let (gate, opener) = AsyncStream<Void>.makeStream()
        let opened = Task { for await _ in gate {} }
        let count = Shared(Atomic<Int>(0))
        let recent = Recent(for: .zero) {
            let number = count.value.add(1, ordering: .relaxed).newValue
            await opened.value
            return number
        }
        let first = Task { try await recent.value }
        #expect(try await recent.value(within: .milliseconds(20)) == nil)
        #expect(try await recent.value(within: .milliseconds(20)) == nil)
        let started = count.value.load(ordering: .relaxed)
        #expect(started <= 1)
        opener.finish()
        #expect(try await first.value >= 1)
    }

    @Test("a short wait tells a failure from a computation that is late")
    func outcome() async throws {
        let failing = Recent<Int>(for: .zero) { throw Failure.first }
        guard case .failed(Failure.first) = try await failing.outcome(within: .seconds(60)) else {
            Issue.record("no failure")
            return
        }
        #expect(try await failing.value(within: .seconds(60)) == nil)
    }

    @Test("a value is shared, and an error is not kept")
    func shared() async throws {
        let count = Shared(Atomic<Int>(0))
        let recent = Recent(for: .seconds(3600)) {
            let number = count.value.add(1, ordering: .relaxed).newValue
            if number == 1 { throw Failure.first }
            return number
        }
        await #expect(throws: Failure.self) { try await recent.value }
        #expect(try await recent.value == 2)
        #expect(try await recent.value == 2)
    }
}
