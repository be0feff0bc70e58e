import CWeightStoreHeader
import Support

/// How the end of a lease is reported to the program.
///
/// Sendable because the header requires a function and a context that any thread may use.
struct LeaseCompletion: @unchecked Sendable {
    /// The thread that calls the functions: they may block, as one in Python does, which waits for the interpreter.
    private static let thread = OnDemand<WorkerThreads>()

    private let function: weightstore_lease_function?
    private let context: UnsafeMutableRawPointer?
    private let event: EventDescriptor?
    private let thread: WorkerThreads?

    init(_ options: weightstore_lease_options?) throws {
        function = options?.completion
        context = options?.context
        event = try options.flatMap { $0.event > 0 ? try EventDescriptor(copying: $0.event) : nil }
        thread = function == nil ? nil : try Self.thread.get { try WorkerThreads(count: 1) }
    }

    func report(_ status: weightstore_status) {
        event?.signal()
        guard let thread, function != nil else { return }
        thread.submit { function?(status, context) }
    }
}

extension weightstore_lease_options: VersionedStruct {
    static let firstSize = 32
}
