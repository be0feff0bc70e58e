import Synchronization

/// Progress and cancellation of one long call: import, pull, verify, export, warm-up, simulation, eviction, rebuild,
/// push, sync.
///
///     let work = Work()
///     Task { try await store.pull(request, work: work) }
///     print(work.progress.done, "of", work.progress.total)
///     work.cancel()
///
/// Any thread may read or cancel it while the call runs. A cancelled call ends soon, with `CancellationError`; data
/// that is durable by then is kept, and the next run reuses it. Cancelling the task of an asynchronous call cancels its
/// work.
public final class Work: Sendable {
    /// The progress of a call, in bytes unless the call documents another unit.
    public struct Progress: Sendable, Equatable {
        /// The amount to process, as far as it is known.
        public var total = 0
        /// The amount processed: read, fetched, written or replayed.
        public var done = 0
        /// The part of `total` that was already present and needed no processing.
        public var skipped = 0
        /// The path or name of the item in progress; empty if the call names none.
        public var label = ""
    }

    private let total = Atomic<Int>(0)
    private let done = Atomic<Int>(0)
    private let skipped = Atomic<Int>(0)
    private let label = Mutex("")
    private let origins = Mutex<[String]>([])
    private let cancelled = Atomic<Bool>(false)
    private let parents: [Work]
    private let handlers = Mutex<[ObjectIdentifier: @Sendable () -> Void]>([:])

    /// Creates work that has not started.
    ///
    /// - Parameter parents: cancelling any of them cancels this work. Progress is counted separately.
    public init(within parents: Work?...) { self.parents = parents.compactMap(\.self) }

    /// The current progress.
    public var progress: Progress {
        Progress(
            total: total.load(ordering: .relaxed), done: done.load(ordering: .relaxed),
            skipped: skipped.load(ordering: .relaxed), label: label.withLock { $0 })
    }

    /// The origins that supplied bytes for this work, without secrets, in the order of their first bytes; the first ones if
    /// there are many.
    package var suppliers: [String] { origins.withLock { $0 } }

    /// Whether this work or one of its parents is cancelled.
    public var isCancelled: Bool { cancelled.load(ordering: .relaxed) || parents.contains(where: \.isCancelled) }

    /// Cancels the call, which ends soon with `CancellationError`.
    public func cancel() {
        cancelled.store(true, ordering: .sequentiallyConsistent)
        let handlers = handlers.withLock { handlers in
            defer { handlers = [:] }
            return handlers.values
        }
        for handler in handlers { handler() }
    }

    /// Throws `CancellationError` if the work is cancelled.
    public func check() throws(CancellationError) { if isCancelled { throw CancellationError() } }

    // MARK: For the code that does the work

    /// Adds `count` to the total.
    public func expect(_ count: Int) { total.add(count, ordering: .relaxed) }
    /// Counts `count` as processed.
    public func advance(_ count: Int) { done.add(count, ordering: .relaxed) }
    /// Counts `count` as already present.
    public func skip(_ count: Int) { skipped.add(count, ordering: .relaxed) }
    /// Sets the label: the item in progress.
    public func setLabel(_ text: String) { label.withLock { $0 = text } }

    /// The most origins that are noted. A work that never ends, such as the fetches of a store, must not collect all URLs.
    private static let mostOrigins = 8

    /// Notes for this work and its parents that an origin supplied bytes.
    ///
    /// - Parameter url: without secrets.
    package func noteSupplier(_ url: String) {
        origins.withLock { if $0.count < Self.mostOrigins, !$0.contains(url) { $0.append(url) } }
        for parent in parents { parent.noteSupplier(url) }
    }

    /// Calls the handler once, when this work or one of its parents is cancelled; immediately if it already is.
    ///
    /// - Returns: the registration; releasing it removes the handler.
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

/// The registration of a handler with ``Work/onCancel(_:)``.
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
