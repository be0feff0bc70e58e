import Dispatch
import Glibc
import Support
import Synchronization

/// The value behind C's handle of a work: the cancellation and the time limit of calls.
final class WorkHandle: HandleValue {
    static let kind = "work"
    /// Longer limits mean this one, so that sums of times do not overflow: a thousand years.
    static let mostMilliseconds: Int64 = 1000 * 366 * 86_400_000

    let work: Work
    private let parent: WorkHandle?
    private let isOver = Atomic<Bool>(false)
    /// Signalled when the handle is released, which ends the thread that waits for the time.
    private let released = DispatchSemaphore(value: 0)

    /// - Parameters:
    ///   - parent: what ends it, ends this work.
    ///   - milliseconds: the time from now; negative for no limit.
    init(within parent: WorkHandle?, milliseconds: Int64) throws {
        self.parent = parent
        work = Work(within: parent?.work)
        if milliseconds < 0 { return }
        if milliseconds == 0 {
            end()
            return
        }
        let time = DispatchTime.now() + .milliseconds(Int(min(milliseconds, Self.mostMilliseconds)))
        try startThread { [weak self, released] in
            if released.wait(timeout: time) == .timedOut { self?.end() }
        }
    }

    deinit { released.signal() }

    private func end() {
        isOver.store(true, ordering: .sequentiallyConsistent)
        work.cancel()
    }

    /// Whether its time, or that of a parent, is over.
    var isTimeOver: Bool { isOver.load(ordering: .sequentiallyConsistent) || parent?.isTimeOver ?? false }
}

/// The work of the calls of a thread.
enum CurrentWork {
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        // As in `Failure`.
        precondition(
            pthread_key_create(&key) { Unmanaged<WorkHandle>.fromOpaque($0!).release() } == 0, "pthread_key_create")
        return key
    }()

    /// Nil if the thread has none.
    static var handle: WorkHandle? {
        pthread_getspecific(key).map { Unmanaged<WorkHandle>.fromOpaque($0).takeUnretainedValue() }
    }

    static func set(_ handle: WorkHandle?) {
        let old = pthread_getspecific(key)
        pthread_setspecific(key, handle.map { UnsafeRawPointer(Unmanaged.passRetained($0).toOpaque()) })
        if let old { Unmanaged<WorkHandle>.fromOpaque(old).release() }
    }

    /// The error of a call: of a cancelled one, why it was cancelled.
    ///
    /// - Parameter handle: the work of the call.
    static func reason(for error: any Error, in handle: WorkHandle? = CurrentWork.handle) -> any Error {
        guard error is CancellationError, let handle else { return error }
        return handle.isTimeOver ? CallError.timedOut : CallError.cancelled
    }
}
