/// The format of a file of a model.
public enum FileFormat: String, Sendable {
    case safetensors
    case gguf
    /// A file without tensors that we know of: configuration, tokenizer, another format.
    case other

    /// The format that a path's extension names, whatever its case: `model.safetensors`, `M.GGUF`.
    public init(path: String) {
        let file = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        let parts = file.split(separator: ".", omittingEmptySubsequences: false)
        // A name like ".gguf" is a hidden file without an extension.
        guard parts.count > 2 || parts.first?.isEmpty == false, parts.count > 1 else {
            self = .other
            return
        }
        switch parts[parts.count - 1].lowercased() {
        case "safetensors": self = .safetensors
        case "gguf": self = .gguf
        default: self = .other
        }
    }
}
