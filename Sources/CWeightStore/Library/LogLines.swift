import CWeightStoreHeader
import Logging
import Support
import Synchronization

/// The log lines of all stores, for a function of the program.
///
/// They are delivered on a thread of their own, because the thread that logs may hold locks, which the function could
/// wait for: one in Python waits for the interpreter.
final class LogLines: Sendable {
    static let all = LogLines()

    /// Sendable because the header requires a function and a context that any thread may use.
    private struct Receiver: @unchecked Sendable {
        let function: @convention(c) (Int32, UnsafePointer<CChar>?, UnsafeMutableRawPointer?) -> Void
        let context: UnsafeMutableRawPointer?
    }

    /// Locked during a delivery, so that a function that was replaced is not running.
    private let receiver = Mutex<Receiver?>(nil)
    private let isReceived = Atomic<Bool>(false)
    private let thread = OnDemand<WorkerThreads>()

    /// - Parameter function: nil for the standard error.
    func set(_ function: weightstore_log_function?, _ context: UnsafeMutableRawPointer?) throws {
        if function != nil { _ = try thread.get { try WorkerThreads(count: 1) } }
        let made = function.map { Receiver(function: $0, context: context) }
        receiver.withLock { $0 = made }
        isReceived.store(made != nil, ordering: .sequentiallyConsistent)
    }

    /// - Returns: false if there is no function.
    func deliver(_ level: Int32, _ message: String) -> Bool {
        guard isReceived.load(ordering: .sequentiallyConsistent), let thread = thread.known else { return false }
        thread.submit { [self] in
            receiver.withLock { receiver in
                guard let receiver else { return }
                message.withCString { receiver.function(level, $0, receiver.context) }
            }
        }
        return true
    }
}

/// The log of a store: the function of the program, or the standard error.
struct InterfaceLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.warning
    private let standardError = StreamLogHandler.standardError(label: "weightstore")

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let level: Int32 =
            switch event.level {
            case .trace, .debug: 0
            case .info, .notice: 1
            case .warning: 2
            case .error, .critical: 3
            }
        if !LogLines.all.deliver(level, "\(event.message)") { standardError.log(event: event) }
    }
}
