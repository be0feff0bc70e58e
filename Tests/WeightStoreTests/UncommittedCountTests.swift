import Dispatch
import Support
import Testing
@testable import WeightStore

/// The shards that a fetch has completed and that are not committed.
@Suite(.blocking) struct UncommittedCountTests {
    @Test("a wait for commits ends when few shards are left, and when the work is cancelled")
    func ends() throws {
        let count = UncommittedCount()
        let works = [Work(), Work()]
        count.add(3)
        try count.wait(untilAtMost: 3, works[0])
        let ends = works.map { _ in DispatchSemaphore(value: 0) }
        for (number, work) in works.enumerated() {
            try startThread {
                if number == 0 {
                    #expect(throws: Never.self) { try count.wait(untilAtMost: 1, work) }
                } else {
                    #expect(throws: CancellationError.self) { try count.wait(untilAtMost: 0, work) }
                }
                ends[number].signal()
            }
        }
        count.subtract(2)
        try #require(ends[0].wait(timeout: .now() + 300) == .success, "the wait does not end")
        works[1].cancel()
        try #require(ends[1].wait(timeout: .now() + 300) == .success, "the wait does not end")
    }
}
