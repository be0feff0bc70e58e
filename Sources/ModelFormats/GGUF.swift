/// The GGUF format, versions 2 and 3: magic, counts, metadata, tensor descriptions, padding, data.
///
/// Source: `docs/gguf.md` of ggml-org/ggml; where it is silent, what `ggml/src/gguf.cpp` of
/// ggml-org/llama.cpp accepts. Nested metadata arrays follow the document. Tensor names may be
/// longer than llama.cpp's 63 bytes: builds for diffusion models write longer ones.
public enum GGUF: ModelFormat {
    public static let name = "gguf"
    public static let fileExtensions = ["gguf"]
    public static let isInnermostFirst = true

    /// A longer header (everything before the data) is refused, in bytes.
    public static let maximumHeaderBytes = 1 << 30

    /// Longer metadata strings are cut off in `FileLayout.metadata`, in bytes of UTF-8.
    public static let maximumMetadataBytes = 4096

    /// The longest key that the document allows, in bytes; tensor names get the same limit.
    public static let maximumNameBytes = 65_535

    /// How deep metadata arrays may nest.
    public static let maximumArrayDepth = 8

    /// The most dimensions of a tensor, ggml's `GGML_MAX_DIMS`.
    public static let maximumDimensions = 4

    /// What the data of a tensor is aligned to without `general.alignment`, in bytes.
    static let defaultAlignment = 32

    /// Reads and checks the header of a GGUF file through a window of at most 1 MiB.
    ///
    /// - Throws: `FormatError`; errors of `source` pass through.
    public static func readLayout(_ source: some ByteSource) throws -> FileLayout {
        var header = GGUFHeader(reader: GGUFReader(source: source, limit: maximumHeaderBytes))
        try header.parse()
        let tensors = try header.place(fileBytes: source.count)
        return FileLayout(
            format: .gguf, bytes: source.count, tensors: tensors, metadata: header.metadata)
    }

    /// `bytes` rounded up to a multiple of `alignment`, a power of two. Traps on overflow.
    static func padded(_ bytes: Int, to alignment: Int) -> Int {
        (bytes + alignment - 1) & ~(alignment - 1)
    }

    /// The types of metadata values, by their number in the file: `gguf_metadata_value_type`.
    enum ValueType: UInt32 {
        case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

        /// The size of a value in bytes, or nil where values differ in size.
        package var bytes: Int? {
            switch self {
            case .uint8, .int8, .bool: 1
            case .uint16, .int16: 2
            case .uint32, .int32, .float32: 4
            case .uint64, .int64, .float64: 8
            case .string, .array: nil
            }
        }
    }
}
