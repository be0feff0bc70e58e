import Support
import Synchronization
import TestSupport
import Testing

@testable import Server

/// The page of a model, which is read once for all streams that follow it.
@Suite(.blocking) struct ModelPageReaderTests {
    private enum Failure: Error { case first }

    private let count = Shared(Atomic<Int>(0))
    private let unchanged = DashboardData.ModelState(row: nil, holds: [:])

    /// A reader whose readings are numbered.
    private func makeReader() -> ModelPageReader {
        ModelPageReader { [unchanged] in
            unchanged
        } read: { [count] in
            "reading \(count.value.add(1, ordering: .relaxed).newValue)"
        }
    }

    @Test("streams of the same model share a reading of its page")
    func shared() async throws {
        let (reader, start) = (makeReader(), ContinuousClock.now)
        let pages = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<64 { group.addTask { try await reader.html(since: start) } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(pages == ["reading 1"])
        #expect(try await reader.html(since: start) == "reading 1")
    }

    @Test("a stream does not receive a page that was read before it began")
    func newStream() async throws {
        let (reader, start) = (makeReader(), ContinuousClock.now)
        #expect(try await reader.html(since: start) == "reading 1")
        #expect(try await reader.html(since: .now) == "reading 2")
        #expect(try await reader.html(since: start) == "reading 2")
    }

    @Test("a reading that fails is not kept")
    func failure() async throws {
        let reader = ModelPageReader { [unchanged] in
            unchanged
        } read: { [count] in
            let number = count.value.add(1, ordering: .relaxed).newValue
            if number == 2 { throw Failure.first }
            return "reading \(number)"
        }
        let start = ContinuousClock.now
        #expect(try await reader.html(since: start) == "reading 1")
        await #expect(throws: Failure.self) { try await reader.html(since: .now) }
        #expect(try await reader.html(since: start) == "reading 3")
    }
}
