import Dispatch
import Support
import Testing
@testable import WeightStore

/// A state for which threads wait.
@Suite(.blocking) struct AwaitedStateTests {
    @Test("what one thread has taken, others wait for, until it is back or their work is cancelled")
    func turns() throws {
        let state = AwaitedState<[Int]?>([])
        let works = [Work(), Work()]
        let taken: [Int] = try state.wait(works[0]) { $0.take() }
        #expect(taken.isEmpty)
        let ends = works.map { _ in DispatchSemaphore(value: 0) }
        for (number, work) in works.enumerated() {
            try startThread {
                if number == 1 {
                    #expect(throws: CancellationError.self) { try state.wait(work) { $0.take() } as [Int] }
                } else {
                    #expect(throws: Never.self) {
                        let found: [Int] = try state.wait(work) { $0.take() }
                        state.change { $0 = found + [2] }
                    }
                }
                ends[number].signal()
            }
        }
        // No lock is held by the owner, so the cancelled wait ends while it is away.
        works[1].cancel()
        try #require(ends[1].wait(timeout: .now() + 300) == .success, "the wait does not end")
        state.change { $0 = [1] }
        try #require(ends[0].wait(timeout: .now() + 300) == .success, "the wait does not end")
        #expect(state.change { $0 } == [1, 2])
        works[0].cancel()
        #expect(throws: CancellationError.self) { try state.wait(works[0]) { $0.take() } as [Int] }
    }
}
