/// An error in a call itself: an invalid argument or handle, or a forked process.
enum CallError: Error {
    case argument(String)
    case handle(String)
    /// The process was forked from the process with this id, which had opened a store.
    case forked(Int32)
    /// An element type that DLPack does not know.
    case unsupported(dtype: String)
    /// The work of the thread was cancelled.
    case cancelled
    /// The time of the thread's work is over.
    case timedOut
}

extension CallError: CustomStringConvertible {
    var description: String {
        switch self {
        case .argument(let problem): "\(problem)."
        case .handle(let problem): "\(problem)."
        case .forked(let owner):
            "This process was forked from process \(owner), which had opened a store. Start a new program (in Python: "
                + "the start method \"spawn\"), or fork before the first store is opened."
        case .unsupported(let dtype):
            "\(dtype): DLPack has no such element type. Export the tensor as bytes (WEIGHTSTORE_DLPACK_BYTES)."
        case .cancelled: "Cancelled. Bytes that were fetched stay, and the next call reuses them."
        case .timedOut: "The time for the call is over. Bytes that were fetched stay, and the next call reuses them."
        }
    }
}
