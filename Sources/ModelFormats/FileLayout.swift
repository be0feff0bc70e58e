/// Where the tensors of one file are.
///
/// Whatever the file holds, a layout that was read from it keeps three promises: tensors do not
/// overlap, each lies inside the file, and no two have the same name.
public struct FileLayout: Sendable, Hashable {
    public var format: FileFormat

    /// The size of the file, in bytes.
    public var bytes: Int

    /// The tensors, sorted by offset, then by name.
    public var tensors: [TensorInfo]

    /// What the file says about itself: the `__metadata__` of safetensors, the key-value pairs of
    /// GGUF as text. A GGUF string longer than `GGUF.maximumMetadataBytes` is cut off and ends
    /// in "…"; an array is its count and type, `[32000 × string]`.
    public var metadata: [String: String]

    public init(format: FileFormat, bytes: Int, tensors: [TensorInfo], metadata: [String: String]) {
        self.format = format
        self.bytes = bytes
        self.tensors = tensors
        self.metadata = metadata
    }

    /// Reads and checks the header of a file; the data of its tensors is not read.
    ///
    /// - Parameters:
    ///   - source: The bytes of the file.
    ///   - format: How to read them. A file of format `.other` has no tensors and is not read.
    /// - Throws: `FormatError` when the file breaks a rule of its format; errors of `source` pass
    ///   through.
    public static func read(_ source: some ByteSource, format: FileFormat) throws -> FileLayout {
        switch format {
        case .safetensors: try Safetensors.readLayout(source)
        case .gguf: try GGUF.readLayout(source)
        case .other: FileLayout(format: .other, bytes: source.count, tensors: [], metadata: [:])
        }
    }

    static func precedes(_ left: TensorInfo, _ right: TensorInfo) -> Bool {
        left.offset != right.offset ? left.offset < right.offset : left.name < right.name
    }
}
