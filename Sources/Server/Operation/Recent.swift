/// An expensive value, computed at most once per `age`. Callers in between share the last one.
actor Recent<Value: Sendable> {
    private let age: Duration
    private let make: @Sendable () async throws -> Value
    private var task: (made: ContinuousClock.Instant, value: Task<Value, any Error>)?

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
                return try await made.1.value
            } catch {
                task = nil
                throw error
            }
        }
    }
}
