/// The safetensors format: 8 bytes of header length, a JSON header, the data of the tensors.
///
/// The header is an object that maps each tensor name to type, shape and offsets, for example
/// `{"__metadata__":{"format":"pt"},"q":{"dtype":"BF16","shape":[4,4],"data_offsets":[0,32]}}`.
/// Offsets count from the end of the header; the tensors cover the rest of the file without holes.
/// Source: `safetensors/src/tensor.rs` of huggingface/safetensors, and its README, "Format".
///
/// A header beyond the limit of that implementation is read, with a warning. Otherwise this reader is stricter, but only
/// about files that no writer produces: duplicate names are rejected
/// (names that differ only in Unicode normalization are duplicates, because Swift's `String` treats them as equal), the
/// first byte of the header is `{`, an entry is an object, and its numbers fit 63 bits.
public enum Safetensors: ModelFormat {
    /// The name of the format.
    public static let name = "safetensors"
    /// The extension of its files.
    public static let fileExtensions = ["safetensors"]

    /// The longest header that is read, in bytes (512 MiB), so that the manifest of the tensors stays below its limit of
    /// 1 GiB. A header above ``referenceHeaderBytes`` has a warning.
    public static let maximumHeaderBytes = 512 << 20

    /// The longest header that the reference implementation reads, in bytes.
    public static let referenceHeaderBytes = 100_000_000

    /// The most dimensions of a tensor. The format has no limit; NumPy and PyTorch have 64.
    public static let maximumDimensions = 64

    package static let lengthBytes = 8

    /// Whether a file begins with the length of a header, `{` and the first key, or `}`.
    public static func recognizes(_ head: [UInt8]) -> Bool? {
        guard head.count > lengthBytes, head[lengthBytes] == UInt8(ascii: "{"),
            headerLength(head) <= UInt64(maximumHeaderBytes)
        else { return false }
        let space = Set(" \n\r\t".utf8)
        let next = head[(lengthBytes + 1)...].first { !space.contains($0) }
        return next == UInt8(ascii: "\"") || next == UInt8(ascii: "}")
    }

    /// The first 8 bytes as a little-endian number.
    private static func headerLength(_ bytes: [UInt8]) -> UInt64 {
        bytes.prefix(lengthBytes).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Reads and checks the header of a safetensors file, in two reads.
    ///
    /// - Throws: `FormatError`; errors of `source` pass through.
    public static func readLayout(_ source: some ByteSource) throws -> FileLayout {
        try readLayout(source, warningAbove: referenceHeaderBytes)
    }

    /// - Parameter limit: The length of the longest header without a warning, in bytes.
    package static func readLayout(_ source: some ByteSource, warningAbove limit: Int) throws -> FileLayout {
        guard source.count >= lengthBytes else {
            throw FormatError(
                file: source.name, offset: 0,
                problem: .cutShort(expected: lengthBytes, found: source.count))
        }
        let length = headerLength(try source.bytes(at: 0, count: lengthBytes))
        guard length <= maximumHeaderBytes else {
            throw FormatError(
                file: source.name, offset: 0,
                problem: .headerTooLong(bytes: length, limit: maximumHeaderBytes))
        }
        let dataStart = lengthBytes + Int(length)
        guard dataStart <= source.count else {
            throw FormatError(
                file: source.name, offset: 0,
                problem: .cutShort(expected: dataStart, found: source.count))
        }
        let header = try source.bytes(at: lengthBytes, count: Int(length))
        if let byte = header.first, byte != UInt8(ascii: "{") {
            throw FormatError(file: source.name, offset: lengthBytes, problem: .headerStart(found: byte))
        }
        var parser = SafetensorsHeader(file: source.name, bytes: header, base: lengthBytes)
        try parser.parse()
        let tensors = try parser.place(dataStart: dataStart, fileBytes: source.count)
        var layout = FileLayout(
            format: .safetensors, bytes: source.count, tensors: tensors, metadata: parser.metadata)
        if length > limit {
            layout.warnings = [
                FormatError(
                    file: source.name, offset: 0, problem: .longHeader(bytes: Int(length), limit: limit))
            ]
        }
        return layout
    }
}
