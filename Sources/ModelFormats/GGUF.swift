/// The GGUF format, versions 2 and 3: magic, counts, metadata, tensor descriptions, padding, data.
///
/// Source: `docs/gguf.md` of ggml-org/ggml; where it specifies nothing, the behavior of `ggml/src/gguf.cpp` of
/// ggml-org/llama.cpp. Nested metadata arrays follow the document. Tensor names may exceed llama.cpp's limit of
/// 63 bytes, because converters for diffusion models write longer ones.
public enum GGUF: ModelFormat {
    /// The name of the format.
    public static let name = "gguf"
    /// The extension of its files.
    public static let fileExtensions = ["gguf"]
    /// GGUF lists the innermost dimension first.
    public static let isInnermostFirst = true

    /// The longest header that is read, in bytes. The header is everything before the data.
    public static let maximumHeaderBytes = 1 << 30

    /// The length above which metadata strings are truncated in `FileLayout.metadata`, in bytes of UTF-8.
    public static let maximumMetadataBytes = 4096

    /// The longest key that the document allows, in bytes; also the limit of tensor names.
    public static let maximumNameBytes = 65_535

    /// The deepest nesting of metadata arrays.
    public static let maximumArrayDepth = 8

    /// The most dimensions of a tensor, ggml's `GGML_MAX_DIMS`.
    public static let maximumDimensions = 4

    /// The alignment of tensor data without `general.alignment`, in bytes.
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

        /// The size of a value in bytes; nil for types of variable size.
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
