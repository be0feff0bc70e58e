import Synchronization

/// Progress and cancellation of one long call: import, pull, verify, export, warm-up, simulation, eviction, rebuild, push,
/// sync.
///
///     let work = Work()
///     Task { try await store.pull(request, work: work) }
///     print(work.progress.done, "of", work.progress.total)
///     work.cancel()
///
/// May be read, and cancelled, from any thread while the call runs. A cancelled call ends soon with `CancellationError`.
/// What is durable by then stays, for the next run to reuse. An asynchronous call also ends with its task; cancelling the
/// task cancels its work.
public final class Work: Sendable {
    /// How far a call is. The unit is bytes, unless the call says otherwise.
    public struct Progress: Sendable, Equatable {
        /// What the call has to process, as far as that is known.
        public var total = 0
        /// Processed: read, fetched, written or replayed.
        public var done = 0
        /// Part of `total` that needed no processing, because it was present before.
        public var skipped = 0
        /// What is being processed: a path, a name. Empty if the call names nothing.
        public var label = ""
    }

    private let total = Atomic<Int>(0)
    private let done = Atomic<Int>(0)
    private let skipped = Atomic<Int>(0)
    private let label = Mutex("")
    private let cancelled = Atomic<Bool>(false)
    private let parents: [Work]
    private let handlers = Mutex<[ObjectIdentifier: @Sendable () -> Void]>([:])

    /// - Parameter parents: cancelling one of them cancels this work, too. Progress is counted separately.
    public init(within parents: Work?...) { self.parents = parents.compactMap(\.self) }

    public var progress: Progress {
        Progress(
            total: total.load(ordering: .relaxed), done: done.load(ordering: .relaxed),
            skipped: skipped.load(ordering: .relaxed), label: label.withLock { $0 })
    }

    public var isCancelled: Bool { cancelled.load(ordering: .relaxed) || parents.contains(where: \.isCancelled) }

    /// Ends the call soon, with `CancellationError`.
    public func cancel() {
        cancelled.store(true, ordering: .sequentiallyConsistent)
        let handlers = handlers.withLock { handlers in
            defer { handlers = [:] }
            return handlers.values
        }
        for handler in handlers { handler() }
    }

    /// - Throws: `CancellationError` if the work is cancelled.
    public func check() throws(CancellationError) { if isCancelled { throw CancellationError() } }

    // MARK: For the code that does the work

    /// Adds to what has to be processed.
    public func expect(_ count: Int) { total.add(count, ordering: .relaxed) }
    /// Counts something as processed.
    public func advance(_ count: Int) { done.add(count, ordering: .relaxed) }
    /// Counts something as present before.
    public func skip(_ count: Int) { skipped.add(count, ordering: .relaxed) }
    /// Names what is being processed.
    public func name(_ text: String) { label.withLock { $0 = text } }

    /// Calls the handler once, when this work or one of its parents is cancelled; at once if it is.
    ///
    /// - Returns: keeps the handler in place as long as it lives.
    package func onCancel(_ handler: @escaping @Sendable () -> Void) -> CancellationHandler {
        let once = CancellationHandler(self, handler)
        add(once)
        if isCancelled { once.call() }
        return once
    }

    fileprivate func add(_ handler: CancellationHandler) {
        // Weak: the handler ends with its registration, which removes it.
        handlers.withLock { $0[ObjectIdentifier(handler)] = { [weak handler] in handler?.call() } }
        for parent in parents { parent.add(handler) }
    }

    fileprivate func remove(_ id: ObjectIdentifier) {
        _ = handlers.withLock { $0.removeValue(forKey: id) }
        for parent in parents { parent.remove(id) }
    }
}

/// A handler of ``Work/onCancel(_:)``.
package final class CancellationHandler: Sendable {
    private let work: Work
    private let handler: Mutex<(@Sendable () -> Void)?>

    fileprivate init(_ work: Work, _ handler: @escaping @Sendable () -> Void) {
        self.work = work
        self.handler = Mutex(handler)
    }

    fileprivate func call() {
        let handler = handler.withLock { handler in
            defer { handler = nil }
            return handler
        }
        handler?()
    }

    deinit { work.remove(ObjectIdentifier(self)) }
}
