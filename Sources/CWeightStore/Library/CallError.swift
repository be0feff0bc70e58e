/// What is wrong with a call itself.
enum CallError: Error {
    case argument(String)
    case handle(String)
    /// The process was forked from this one, which had used the library.
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
            "This process was forked from process \(owner) after that had opened a store. Start a new program (in Python: the start method \"spawn\"), or fork before the first store is opened."
        case .unsupported(let dtype):
            "\(dtype): an element type that can't be told in DLPack. Ask for its bytes (WEIGHTSTORE_DLPACK_BYTES)."
        }
    }
}
