import CWeightStoreHeader
import Dispatch
import Support
import Synchronization

/// Runs a long call of the interface within the work of the thread, and reports its progress to a function of the program
/// on this thread, some ten times a second. A result of the function other than 0 cancels the call.
func longCall<Value: Sendable>(
    _ function: weightstore_progress_function?, _ context: UnsafeMutableRawPointer?,
    _ body: @escaping @Sendable (Work) throws -> Value
) throws -> Value {
    let work = Work(within: CurrentWork.handle?.work)
    guard let function else { return try body(work) }
    func report() -> Int32 {
        let current = work.progress
        return current.label.withCString { label in
            var progress = weightstore_progress()
            progress.struct_size = MemoryLayout<weightstore_progress>.size
            progress.total = UInt64(clamping: current.total)
            progress.done = UInt64(clamping: current.done)
            progress.skipped = UInt64(clamping: current.skipped)
            progress.label = label
            return function(&progress, context)
        }
    }
    let ended = DispatchSemaphore(value: 0)
    let outcome = Mutex<Result<Value, any Error>>(.failure(CancellationError()))
    try startThread {
        Result { try body(work) }
    } then: { result in
        outcome.withLock { $0 = result }
        ended.signal()
    }
    while ended.wait(timeout: .now() + .milliseconds(100)) == .timedOut {
        if report() != 0 { work.cancel() }
    }
    _ = report()
    return try outcome.withLock { $0 }.get()
}
