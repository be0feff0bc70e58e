import Support
import Synchronization

/// An expensive value, computed at most once per `age`. Callers in between share the last one.
actor Recent<Value: Sendable> {
    private let age: Duration
    private let make: @Sendable () async throws -> Value
    private var task: (made: ContinuousClock.Instant, value: Task<Value, any Error>)?
    /// The last value that was computed, however old.
    private var last: Value?

    init(for age: Duration, _ make: @escaping @Sendable () async throws -> Value) {
        self.age = age
        self.make = make
    }

    var value: Value {
        get async throws {
            if let task, task.made + age > .now { return try await task.value.value }
            let made = (ContinuousClock.now, Task { [make] in try await make() })
            task = made
            do {
                let value = try await made.1.value
                last = value
                return value
            } catch {
                task = nil
                throw error
            }
        }
    }

    /// The value, or an older one if the new one is not computed within a time; nil if there is no older one, and if it cannot
    /// be computed. The computation goes on: a later call finds its result.
    func value(within limit: Duration) async throws -> Value? {
        let deadline = ContinuousClock.now + limit
        let computation = Task { try await value }
        let isDone = Shared(Atomic<Bool>(false))
        Task {
            _ = await computation.result
            isDone.value.store(true, ordering: .releasing)
        }
        while !isDone.value.load(ordering: .acquiring), ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(2))
        }
        guard isDone.value.load(ordering: .acquiring) else { return last }
        // The failure is that of the section alone, which is then loaded afterwards and shows it.
        return try? await computation.value
    }
}
