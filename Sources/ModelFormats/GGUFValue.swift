/// A value of a GGUF file's metadata, with its type and all elements of an array. ``FileLayout/metadata`` has values as
/// text, and counts instead of arrays.
public struct GGUFValue: Sendable, Hashable {
    /// The type, or that of the elements of an array: `uint8`, `int8`, `uint16`, `int16`, `uint32`, `int32`, `float32`,
    /// `bool`, `string`, `array`, `uint64`, `int64` or `float64`.
    public let type: String

    /// The number of elements of an array; nil for a single value.
    public let count: Int?

    /// The value, or the elements of an array.
    public let elements: Elements

    /// Creates a value.
    public init(type: String, count: Int?, elements: Elements) {
        self.type = type
        self.count = count
        self.elements = elements
    }

    /// The elements of an array, or one element.
    public enum Elements: Sendable, Hashable {
        /// Numbers in little-endian byte order, side by side; a `bool` is a byte.
        case numbers([UInt8])
        /// Strings, side by side, and the end of each. They are UTF-8 if the writer of the file kept to the format.
        case strings([UInt8], ends: [Int])
        /// Arrays.
        case arrays([GGUFValue])
    }
}

extension GGUF {
    /// Reads the metadata of a GGUF file with the elements of arrays, in the order of the file. Needs memory for all of it.
    ///
    /// - Throws: `FormatError`; errors of `source` pass through.
    public static func readMetadata(_ source: some ByteSource) throws -> [(key: String, value: GGUFValue)] {
        var header = GGUFHeader(reader: GGUFReader(source: source, limit: maximumHeaderBytes))
        return try header.parseValues()
    }
}

extension GGUFHeader {
    fileprivate mutating func parseValues() throws -> [(key: String, value: GGUFValue)] {
        let (_, keys) = try parseStart()
        var values: [(key: String, value: GGUFValue)] = []
        for _ in 0..<keys {
            let (key, type) = try parseKey()
            values.append((key, try parseWhole(type)))
        }
        return values
    }

    private mutating func parseWhole(_ type: GGUF.ValueType) throws -> GGUFValue {
        if type == .array { return try parseWholeArray(depth: 1) }
        return GGUFValue(type: "\(type)", count: nil, elements: try parseElements(type, count: 1, depth: 0))
    }

    private mutating func parseWholeArray(depth: Int) throws -> GGUFValue {
        let (type, count) = try parseArrayStart(depth: depth)
        return GGUFValue(type: "\(type)", count: count, elements: try parseElements(type, count: count, depth: depth))
    }

    private mutating func parseElements(
        _ type: GGUF.ValueType, count: Int, depth: Int
    ) throws -> GGUFValue.Elements {
        switch type {
        case .array:
            var arrays: [GGUFValue] = []
            for _ in 0..<count { arrays.append(try parseWholeArray(depth: depth + 1)) }
            return .arrays(arrays)
        case .string:
            var bytes: [UInt8] = []
            var ends: [Int] = []
            for _ in 0..<count {
                try reader.appendString(to: &bytes)
                ends.append(bytes.count)
            }
            return .strings(bytes, ends: ends)
        default:
            return .numbers(try reader.bytes(UInt64(count) * UInt64(type.bytes ?? 0)))
        }
    }
}
