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

    /// "GGUF", read as a little-endian number.
    static let magic: UInt32 = 0x4655_4747

    /// Whether a file begins with `GGUF` and a version in either byte order.
    public static func recognizes(_ head: [UInt8]) -> Bool? {
        guard head.count >= 8, number(head[..<4]) == magic else { return false }
        let version = number(head[4..<8])
        // A text that begins with the word has a larger number there.
        return min(version, version.byteSwapped) < 256
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Reads and checks the header of a GGUF file through a window of at most 1 MiB.
    ///
    /// Kept with a warning: tensors of a type that is unknown here, whose sizes follow from the next offset, and tensors
    /// that are not aligned. A file with another GGUF file behind its last tensor is kept without tensors.
    ///
    /// - Throws: `FormatError`; errors of `source` pass through.
    public static func readLayout(_ source: some ByteSource) throws -> FileLayout {
        var header = GGUFHeader(reader: GGUFReader(source: source, limit: maximumHeaderBytes))
        try header.parse()
        let (tensors, warnings) = try header.place(fileBytes: source.count)
        var layout = FileLayout(
            format: .gguf, bytes: source.count, tensors: tensors, metadata: header.metadata, warnings: warnings)
        if let offset = try secondFile(in: source, after: tensors.map { $0.offset + $0.bytes }.max(), header) {
            layout = FileLayout(
                format: .other, bytes: source.count, tensors: [], metadata: [:],
                warnings: [FormatError(file: source.name, offset: offset, problem: .joinedParts)])
        }
        return layout
    }

    /// The offset of a GGUF file behind the last tensor: `cat` joins the parts of a split model so. nil if there is none.
    private static func secondFile(in source: some ByteSource, after end: Int?, _ header: GGUFHeader) throws -> Int? {
        // Behind a single file there is padding at most, which is not read.
        let least = max(header.alignment, FileFormat.headBytes)
        guard let end, source.count - end >= least else { return nil }
        for offset in Set([end, header.padded(end)]).sorted() where source.count - offset >= FileFormat.headBytes {
            let head = try source.bytes(at: offset, count: FileFormat.headBytes)
            if recognizes(head) == true { return offset }
        }
        return nil
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
