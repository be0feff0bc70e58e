/// An error in a call itself: an invalid argument or handle, or a forked process.
enum CallError: Error {
    case argument(String)
    case handle(String)
    /// The process was forked from the process with this id, which had opened a store.
    case forked(Int32)
    /// An element type that DLPack does not know.
    case unsupported(dtype: String)
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
        }
    }
}
