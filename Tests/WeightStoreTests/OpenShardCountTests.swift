import Dispatch
import Support
import Testing
@testable import WeightStore

/// The shards that a fetch has begun and that are not committed.
@Suite(.blocking) struct OpenShardCountTests {
    @Test("a wait for commits ends when few shards are open, when the work is cancelled, and when the fetch has failed")
    func ends() throws {
        let count = OpenShardCount()
        let works = [Work(), Work(), Work()]
        for _ in 0..<3 { count.add() }
        try count.wait(untilAtMost: 3, works[0])
        let ends = works.map { _ in DispatchSemaphore(value: 0) }
        for (number, work) in works.enumerated() {
            try startThread {
                if number == 1 {
                    #expect(throws: CancellationError.self) { try count.wait(untilAtMost: 0, work) }
                } else {
                    #expect(throws: Never.self) { try count.wait(untilAtMost: number == 0 ? 1 : 0, work) }
                }
                ends[number].signal()
            }
        }
        count.subtract(2)
        try #require(ends[0].wait(timeout: .now() + 300) == .success, "the wait does not end")
        works[1].cancel()
        try #require(ends[1].wait(timeout: .now() + 300) == .success, "the wait does not end")
        count.stop()
        try #require(ends[2].wait(timeout: .now() + 300) == .success, "the wait does not end")
        try count.wait(untilAtMost: 0, works[2])
    }
}
