import Support
import Synchronization

/// An expensive value, computed again at the earliest `age` after its last computation has ended, and by one task at a time.
/// Callers in between share the last value, or await the task that runs.
actor Recent<Value: Sendable> {
    private let age: Duration
    private let make: @Sendable () async throws -> Value
    /// The computation that runs.
    private var running: Task<Value, any Error>?
    /// The last value that was computed, however old, and when its computation ended.
    private var last: (value: Value, end: ContinuousClock.Instant)?

    init(for age: Duration, _ make: @escaping @Sendable () async throws -> Value) {
        self.age = age
        self.make = make
    }

    var value: Value {
        get async throws {
            if let running { return try await running.value }
            if let last, last.end + age > .now { return last.value }
            let task = Task { try await compute() }
            running = task
            return try await task.value
        }
    }

    private func compute() async throws -> Value {
        // No other task was started since: `running` is this one.
        defer { running = nil }
        let value = try await make()
        last = (value, .now)
        return value
    }

    /// What is known of the value after a time.
    enum Outcome: Sendable {
        /// The value, or an older one.
        case ready(Value)
        /// It is still computed, and there is no older one.
        case late
        /// It cannot be computed.
        case failed(any Error)
    }

    /// The value, or an older one if the new one is not computed within a time; nil if there is no older one, and if it cannot
    /// be computed.
    func value(within limit: Duration) async throws -> Value? {
        if case .ready(let value) = try await outcome(within: limit) { value } else { nil }
    }

    /// As ``value(within:)``, with the error of a computation that failed in the time. A longer one continues: a later call
    /// finds its result.
    func outcome(within limit: Duration) async throws -> Outcome {
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
        guard isDone.value.load(ordering: .acquiring) else { return last.map { .ready($0.value) } ?? .late }
        do { return .ready(try await computation.value) } catch { return .failed(error) }
    }
}
