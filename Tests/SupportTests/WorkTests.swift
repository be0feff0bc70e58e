import Synchronization
import Support
import Testing

@Suite struct WorkTests {
    @Test("progress counts finished bytes apart from those present before, and names the item in progress")
    func progress() {
        let work = Work()
        work.expect(10)
        work.advance(3)
        work.skip(4)
        work.setLabel("model.safetensors")
        #expect(work.progress.total == 10 && work.progress.done == 3 && work.progress.skipped == 4)
        #expect(work.progress.label == "model.safetensors")
    }

    @Test("a cancelled work cancels those within it, and not those around it")
    func parents() {
        let outer = Work()
        let inner = Work(within: outer, nil)
        let other = Work(within: outer)
        inner.cancel()
        #expect(inner.isCancelled && !outer.isCancelled && !other.isCancelled)
        outer.cancel()
        #expect(other.isCancelled)
        #expect(throws: CancellationError.self) { try other.check() }
    }

    @Test("a handler is called once, at once if the work is cancelled, and not after its registration has ended")
    func handlers() {
        let calls = Atomic<Int>(0)
        let outer = Work()
        let work = Work(within: outer)
        let kept = work.onCancel { calls.add(1, ordering: .relaxed) }
        do { _ = work.onCancel { calls.add(100, ordering: .relaxed) } }
        outer.cancel()
        work.cancel()
        #expect(calls.load(ordering: .relaxed) == 1)
        let late = work.onCancel { calls.add(10, ordering: .relaxed) }
        #expect(calls.load(ordering: .relaxed) == 11)
        withExtendedLifetime((kept, late)) {}
    }

    @Test("many threads that register and cancel at once call each handler once")
    func race() async {
        for _ in 0..<200 {
            let work = Work()
            let calls = Shared(Atomic<Int>(0))
            let kept = await withTaskGroup(of: CancellationHandler?.self) { group in
                for index in 0..<8 {
                    group.addTask {
                        if index == 4 { work.cancel() }
                        return index == 4 ? nil : work.onCancel { calls.value.add(1, ordering: .relaxed) }
                    }
                }
                return await group.reduce(into: []) { kept, handler in kept.append(handler) }
            }
            #expect(calls.value.load(ordering: .relaxed) == 7)
            withExtendedLifetime(kept) {}
        }
    }

    @Test("cancelling the task ends blocking work, and asynchronous work")
    func tasks() async throws {
        let blocking = Task {
            let work = Work()
            try await work.run { while true { try work.check() } }
        }
        let asynchronous = Task {
            try await Work().runTask { try await Task.sleep(for: .seconds(3600)) }
        }
        blocking.cancel()
        asynchronous.cancel()
        await #expect(throws: CancellationError.self) { try await blocking.value }
        await #expect(throws: CancellationError.self) { try await asynchronous.value }
    }

    @Test("cancelling the work ends a task that a thread waits for")
    func waiting() async throws {
        let work = Work()
        let began = Shared(Atomic<Bool>(false))
        let ended = Task {
            try await onThread {
                try work.wait {
                    began.value.store(true, ordering: .relaxed)
                    try await Task.sleep(for: .seconds(3600))
                }
            }
        }
        while !began.value.load(ordering: .relaxed) { await Task.yield() }
        work.cancel()
        await #expect(throws: CancellationError.self) { try await ended.value }
        #expect(try await onThread { try Work().wait { 7 } } == 7)
    }
}
