import WireFormats

/// Runs fetches from origins: one for all callers that need the same result, a limited number at a time, and only as long
/// as a caller waits.
///
/// A client that disconnects stops waiting. When no caller waits any more, the fetch's task is cancelled, and with it its
/// requests to the origin. A fetch whose model has as many as its limit waits without a thread, so a stalled model delays
/// no other. The number of those that wait has a limit, too: beyond it, a fetch is refused at once.
actor FetchGate<Key: Hashable & Sendable, Value: Sendable> {
    /// The most fetches that run at a time, and that wait.
    struct Limits {
        var total: Int
        var perModel: Int
        var waiting = 1024
        /// The time that a fetch runs on after its last caller has left, for clients that request the same again.
        var linger = Duration.zero
    }

    private struct Fetch {
        let number: Int
        let model: String
        let body: @Sendable () async throws -> Value
        var task: Task<Void, Never>?
        var callers: [Int: CheckedContinuation<Value, any Error>] = [:]
        /// The caller that left last.
        var lastLeft = 0
    }

    private let limits: Limits
    private let metrics: FetchMetrics
    private var fetches: [Key: Fetch] = [:]
    /// Fetches that have not begun, in the order of their first callers.
    private var queue: [(key: Key, number: Int, model: String)] = []
    private var running = 0
    private var runningByModel: [String: Int] = [:]
    private var lastNumber = 0

    init(_ limits: Limits, _ metrics: FetchMetrics) {
        self.limits = limits
        self.metrics = metrics
    }

    /// The result of a fetch that is in progress under the same key, or of a new one.
    ///
    /// - Parameter body: runs on no client's behalf; cancelling its task must end it.
    /// - Throws: ``HubError/clientGone`` if the current client disconnects; ``HubError/unavailable(_:)`` if too many
    ///   fetches wait; `CancellationError`; errors of `body`.
    func value(
        of key: Key, model: String, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let context = ConnectionContext.current
        context?.record?.noteFetch()
        let client = try await context?.presence()
        lastNumber += 1
        let caller = lastNumber
        let watch = client?.onLeave { Task { await self.leave(key, caller, HubError.clientGone) } }
        defer { if let client, let watch { client.remove(watch) } }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Value, any Error>) in
                // A call of `leave` before this line has found no caller.
                if client?.isGone ?? false { return continuation.resume(throwing: HubError.clientGone) }
                if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                join(key, model, caller, continuation, body)
            }
        } onCancel: {
            Task { await self.leave(key, caller, CancellationError()) }
        }
    }

    private func join(
        _ key: Key, _ model: String, _ caller: Int, _ continuation: CheckedContinuation<Value, any Error>,
        _ body: @escaping @Sendable () async throws -> Value
    ) {
        if fetches[key] == nil {
            guard queue.count < limits.waiting || mayStart(model) else {
                metrics.refused.add(1)
                return continuation.resume(
                    throwing: HubError.unavailable("too many requests wait for the upstream hub"))
            }
            lastNumber += 1
            fetches[key] = Fetch(number: lastNumber, model: model, body: body)
            queue.append((key, lastNumber, model))
            metrics.waiting.add(1)
        }
        fetches[key]?.callers[caller] = continuation
        startNext()
    }

    private func mayStart(_ model: String) -> Bool {
        running < limits.total && runningByModel[model, default: 0] < limits.perModel
    }

    private func startNext() {
        while let index = queue.firstIndex(where: { mayStart($0.model) }) {
            let next = queue.remove(at: index)
            metrics.waiting.add(-1)
            guard let body = fetches[next.key]?.body else { continue }
            running += 1
            runningByModel[next.model, default: 0] += 1
            metrics.running.add(1)
            // Detached: the fetch must not end with the client of the task that began it.
            fetches[next.key]?.task = Task.detached { [self] in
                let result: Result<Value, any Error>
                do { result = .success(try await body()) } catch { result = .failure(error) }
                await finish(next.key, next.number, next.model, result)
            }
        }
    }

    private func finish(_ key: Key, _ number: Int, _ model: String, _ result: Result<Value, any Error>) {
        running -= 1
        metrics.running.add(-1)
        let others = runningByModel[model, default: 1] - 1
        runningByModel[model] = others > 0 ? others : nil
        if let fetch = fetches[key], fetch.number == number {
            fetches[key] = nil
            for caller in fetch.callers.values { caller.resume(with: result) }
        }
        startNext()
    }

    private func leave(_ key: Key, _ caller: Int, _ reason: any Error) {
        guard let continuation = fetches[key]?.callers.removeValue(forKey: caller) else { return }
        continuation.resume(throwing: reason)
        guard let fetch = fetches[key], fetch.callers.isEmpty else { return }
        fetches[key]?.lastLeft = caller
        if limits.linger == .zero { return cancel(key, after: caller) }
        Task {
            // This task is never cancelled, so the sleep does not fail.
            try? await Task.sleep(for: limits.linger)
            cancel(key, after: caller)
        }
    }

    /// Cancels a fetch for which no caller waits, unless another one has waited since. A caller that arrives later begins
    /// another fetch.
    private func cancel(_ key: Key, after caller: Int) {
        guard let fetch = fetches[key], fetch.lastLeft == caller, fetch.callers.isEmpty else { return }
        let number = fetch.number
        fetches[key] = nil
        if let index = queue.firstIndex(where: { $0.number == number }) {
            queue.remove(at: index)
            metrics.waiting.add(-1)
        }
        fetch.task?.cancel()
        metrics.cancelled.add(1)
    }
}
