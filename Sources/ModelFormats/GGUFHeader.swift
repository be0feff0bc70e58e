/// Parses the header of a GGUF file, then checks that the data of its tensors is contiguous.
struct GGUFHeader {
    var reader: GGUFReader
    private var entries: [Entry] = []
    // Names and keys are compared by bytes: two `String`s are equal if they are canonically equivalent.
    private var names = NameSet()
    private var keys = NameSet()
    private(set) var alignment = GGUF.defaultAlignment
    package private(set) var metadata: [String: String] = [:]

    private struct Entry {
        var name: String
        /// The number of the type.
        var type: UInt32
        var shape: [Int]
        /// nil if the type is unknown.
        var bytes: Int?
        /// The offset that the file gives, in bytes from the start of the data.
        var begin: UInt64
        /// The position of the tensor's description in the file, for errors.
        var offset: Int
    }

    init(reader: GGUFReader) { self.reader = reader }

    /// Reads the whole header and checks each key and each tensor on its own.
    package mutating func parse() throws {
        let (tensors, keys) = try parseStart()
        for _ in 0..<keys { try parseKeyAndValue() }
        for _ in 0..<tensors { try parseTensor() }
    }

    /// Reads what precedes the metadata.
    mutating func parseStart() throws -> (tensors: Int, keys: Int) {
        guard try reader.integer(UInt32.self) == GGUF.magic else {
            throw reader.error(.notGGUF, at: 0)
        }
        try parseVersion()
        let tensors = try parseCount(of: "tensors", leastBytes: Self.leastTensorBytes)
        let keys = try parseCount(of: "metadata keys", leastBytes: Self.leastKeyBytes)
        return (tensors, keys)
    }

    /// The smallest description: length of the name, number of dimensions, type, offset.
    private static let leastTensorBytes = 8 + 4 + 4 + 8
    /// The smallest entry: length of the key, the key, value type, value.
    private static let leastKeyBytes = 8 + 1 + 4 + 1

    private mutating func parseVersion() throws {
        let offset = reader.position
        let version = try reader.integer(UInt32.self)
        // In a big-endian file, the version is a small number only after a byte swap.
        if 1...3 ~= version.byteSwapped { throw reader.error(.bigEndian, at: offset) }
        guard 2...3 ~= version else { throw reader.error(.unsupportedVersion(version), at: offset) }
    }

    private mutating func parseCount(of what: String, leastBytes: Int) throws -> Int {
        let offset = reader.position
        let count = try reader.integer(UInt64.self)
        let limit = reader.remaining / leastBytes
        guard count <= limit else {
            throw reader.error(.countTooLarge(of: what, count: count, limit: limit), at: offset)
        }
        return Int(count)
    }

    // MARK: Metadata

    private mutating func parseKeyAndValue() throws {
        let offset = reader.position
        let (key, type) = try parseKey()
        let text = try key == "general.alignment" ? parseAlignment(type) : parseValue(type)
        guard keys.insert(key) else { throw reader.error(.duplicateName(key), at: offset) }
        if metadata[key] == nil { metadata[key] = text }
    }

    /// Reads a key and the type of its value.
    mutating func parseKey() throws -> (key: String, type: GGUF.ValueType) {
        let offset = reader.position
        let key = try reader.name()
        guard !key.isEmpty else { throw reader.error(.emptyKey, at: offset) }
        return (key, try parseValueType())
    }

    private mutating func parseValueType() throws -> GGUF.ValueType {
        let offset = reader.position
        let number = try reader.integer(UInt32.self)
        guard let type = GGUF.ValueType(rawValue: number) else {
            throw reader.error(.unknownValueType(number), at: offset)
        }
        return type
    }

    private mutating func parseAlignment(_ type: GGUF.ValueType) throws -> String {
        let offset = reader.position
        guard type == .uint32 else { throw reader.error(.alignmentType("\(type)"), at: offset) }
        let value = try reader.integer(UInt32.self)
        guard value.nonzeroBitCount == 1 else { throw reader.error(.alignmentValue(value), at: offset) }
        alignment = Int(value)
        return String(value)
    }

    private mutating func parseValue(_ type: GGUF.ValueType) throws -> String {
        switch type {
        case .uint8: try String(reader.integer(UInt8.self))
        case .int8: try String(reader.integer(Int8.self))
        case .uint16: try String(reader.integer(UInt16.self))
        case .int16: try String(reader.integer(Int16.self))
        case .uint32: try String(reader.integer(UInt32.self))
        case .int32: try String(reader.integer(Int32.self))
        case .uint64: try String(reader.integer(UInt64.self))
        case .int64: try String(reader.integer(Int64.self))
        case .float32: try Float(bitPattern: reader.integer()).description
        case .float64: try Double(bitPattern: reader.integer()).description
        case .bool: try reader.integer(UInt8.self) == 0 ? "false" : "true"
        case .string: try reader.text(limit: GGUF.maximumMetadataBytes)
        case .array: try parseArray(depth: 1)
        }
    }

    /// Reads the type and the number of an array's elements.
    mutating func parseArrayStart(depth: Int) throws -> (type: GGUF.ValueType, count: Int) {
        guard depth <= GGUF.maximumArrayDepth else {
            throw reader.error(.arraysTooDeep(limit: GGUF.maximumArrayDepth))
        }
        let type = try parseValueType()
        let offset = reader.position
        let count = try reader.integer(UInt64.self)
        // The smallest string is its length field, the smallest array its type and count.
        let leastBytes = type.bytes ?? (type == .string ? 8 : 12)
        let limit = reader.remaining / leastBytes
        guard count <= limit else {
            throw reader.error(.countTooLarge(of: "array elements", count: count, limit: limit), at: offset)
        }
        return (type, Int(count))
    }

    /// Skips the elements of an array and describes it: `[3 × int32]`.
    private mutating func parseArray(depth: Int) throws -> String {
        let (type, count) = try parseArrayStart(depth: depth)
        switch type {
        case .string: for _ in 0..<count { try reader.skipString() }
        case .array: for _ in 0..<count { _ = try parseArray(depth: depth + 1) }
        default: try reader.skip(UInt64(count) * UInt64(type.bytes ?? 0))
        }
        return "[\(count) × \(type)]"
    }

    // MARK: Tensors

    private mutating func parseTensor() throws {
        let offset = reader.position
        let name = try reader.name()
        func error(_ problem: FormatError.Problem) -> FormatError {
            reader.error(problem, tensor: name, at: offset)
        }
        guard names.insert(name) else { throw error(.duplicateName(name)) }

        let dimensions = try reader.integer(UInt32.self)
        guard dimensions <= GGUF.maximumDimensions else {
            throw error(.tooManyDimensions(limit: GGUF.maximumDimensions))
        }
        var shape: [Int] = []
        for _ in 0..<dimensions {
            let size = try reader.integer(UInt64.self)
            guard size <= Int.max else { throw error(.dimensionTooLarge(size)) }
            shape.append(Int(size))
        }

        let number = try reader.integer(UInt32.self)
        guard let elements = ElementType.elementCount(shape: shape) else { throw error(.sizeOverflow(shape: shape)) }
        var bytes: Int?
        if let type = ElementType.ggml[number] {
            let row = shape.first ?? 1
            guard row.isMultiple(of: type.elementsPerBlock) else {
                throw error(.partialBlock(row: row, block: type.elementsPerBlock))
            }
            guard let known = type.byteCount(elements: elements) else { throw error(.sizeOverflow(shape: shape)) }
            bytes = known
        } else if elements == 0 {
            bytes = 0
        }

        let begin = try reader.integer(UInt64.self)
        entries.append(
            Entry(name: name, type: number, shape: shape, bytes: bytes, begin: begin, offset: offset))
    }

    /// A position in the file, rounded up to the alignment. The data begins at a multiple of it.
    func padded(_ offset: Int) -> Int { GGUF.padded(offset, to: alignment) }

    /// The tensors with their offsets in the file, sorted by offset, then by name; and what is unusual about them.
    ///
    /// Each tensor begins at the end of the previously described one, rounded up to the alignment; a file whose tensors
    /// are less than one alignment apart is unaligned, and kept. A tensor of an unknown type extends to the next one, or
    /// to the end of the file. Only the last may lack its padding. Further bytes after it are allowed, as in llama.cpp.
    ///
    /// - Parameter fileBytes: The size of the file, in bytes.
    package func place(fileBytes: Int) throws(FormatError) -> (tensors: [TensorInfo], warnings: [FormatError]) {
        guard !entries.isEmpty else { return ([], []) }
        let dataStart = padded(reader.position)
        guard dataStart <= fileBytes else {
            let padding = dataStart - reader.position
            throw reader.error(.cutShort(expected: padding, found: fileBytes - reader.position))
        }
        let dataBytes = fileBytes - dataStart
        var tensors: [TensorInfo] = []
        var unusual = Unusual()
        var end = 0
        for (index, entry) in entries.enumerated() {
            func error(_ problem: FormatError.Problem) -> FormatError {
                reader.error(problem, tensor: entry.name, at: entry.offset)
            }
            // This cannot overflow: the data begins at a multiple of the alignment, so `end` is at least one
            // alignment below `Int.max`.
            let expected = padded(end)
            if entry.begin != UInt64(expected) {
                guard entry.begin >= UInt64(end), entry.begin - UInt64(end) < UInt64(alignment) else {
                    throw error(.notContiguous(expected: UInt64(expected), found: entry.begin))
                }
                unusual.addUnaligned(error(.unaligned(alignment: alignment, found: entry.begin)))
            }
            let begin = Int(entry.begin)
            let bytes: Int
            if let known = entry.bytes {
                bytes = known
            } else {
                let next = index + 1 < entries.count ? entries[index + 1].begin : UInt64(dataBytes)
                guard next > entry.begin else {
                    throw error(
                        index + 1 < entries.count
                            ? .notContiguous(expected: entry.begin + 1, found: next)
                            : .cutShort(expected: begin + 1, found: dataBytes))
                }
                bytes = Int(clamping: next) - begin
                let warning = error(.unknownTypeNumber(entry.type))
                let first = unusual.addUnknown(entry.type, entry.shape, bytes: bytes, warning)
                guard bytes > first - alignment else { throw error(.cutShort(expected: first, found: bytes)) }
            }
            let (sum, overflow) = begin.addingReportingOverflow(bytes)
            guard !overflow, sum <= dataBytes else {
                throw error(.cutShort(expected: overflow ? .max : sum, found: dataBytes))
            }
            end = sum
            tensors.append(
                TensorInfo(
                    name: entry.name, dtype: ElementType.ggml[entry.type]?.name ?? "ggml:\(entry.type)",
                    shape: entry.shape, offset: dataStart + begin, bytes: bytes))
        }
        return (tensors.sorted(by: FileLayout.precedes), unusual.warnings)
    }

    /// What is unusual about the tensors: a warning for each kind, about the first of its tensors, up to a limit.
    private struct Unusual {
        private struct Kind: Hashable {
            var type: UInt32
            var shape: [Int]
        }

        private(set) var warnings: [FormatError] = []
        private var isUnaligned = false
        private var types: Set<UInt32> = []
        /// The most unknown types with a warning. ggml and its forks have fewer; a damaged file may have a type for each
        /// tensor.
        private static let mostTypes = 16
        /// The size of the first tensor of each unknown type and shape, with its padding.
        private var sizes: [Kind: Int] = [:]

        mutating func addUnaligned(_ warning: FormatError) {
            if !isUnaligned { warnings.append(warning) }
            isUnaligned = true
        }

        /// - Returns: the size of the first tensor of this type and shape. Another one differs by its padding at most, so
        ///   that a file that ends within its last tensor is recognized.
        mutating func addUnknown(_ type: UInt32, _ shape: [Int], bytes: Int, _ warning: FormatError) -> Int {
            if types.count < Self.mostTypes, types.insert(type).inserted { warnings.append(warning) }
            let kind = Kind(type: type, shape: shape)
            if let first = sizes[kind] { return first }
            sizes[kind] = bytes
            return bytes
        }
    }
}
