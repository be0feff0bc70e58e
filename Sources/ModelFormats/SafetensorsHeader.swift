/// Parses the JSON header of a safetensors file, then checks that its tensors cover the data exactly.
struct SafetensorsHeader: ~Copyable {
    private let file: String
    private var scanner: JSONScanner
    private var entries: [Entry] = []
    // Names and keys are compared by bytes: two `String`s are equal if they are canonically equivalent.
    private var names = NameSet()
    private var metadataKeys = NameSet()
    package private(set) var metadata: [String: String] = [:]

    private struct Entry {
        var name: String
        var dtype: String
        var shape: [Int]
        /// In bytes from the start of the data, as `end` is.
        var begin: Int
        var end: Int
        /// The position of the tensor's name in the file, for errors.
        var offset: Int
    }

    /// - Parameters:
    ///   - file: The file's name, for errors.
    ///   - bytes: The header, with its padding.
    ///   - base: The position of the header in the file, in bytes.
    init(file: String, bytes: [UInt8], base: Int) {
        self.file = file
        scanner = JSONScanner(file: file, bytes: bytes, base: base)
    }

    /// Reads the whole header and checks each tensor on its own.
    package mutating func parse() throws(FormatError) {
        var first = true
        try scanner.beginObject()
        while let name = try scanner.key(first: &first) {
            let offset = scanner.stringOffset
            guard names.insert(name) else {
                let tensor = name == "__metadata__" ? nil : name
                throw FormatError(
                    file: file, tensor: tensor, offset: offset, problem: .duplicateName(name))
            }
            if name == "__metadata__" {
                try parseMetadata()
                continue
            }
            do throws(FormatError) {
                let entry = try parseEntry(name: name, offset: offset)
                try checkSize(entry)
                entries.append(entry)
            } catch {
                var error = error
                error.tensor = name
                throw error
            }
        }
        try scanner.end()
    }

    private mutating func parseMetadata() throws(FormatError) {
        if try scanner.null() { return }
        var first = true
        try scanner.beginObject()
        while let key = try scanner.key(first: &first) {
            let offset = scanner.stringOffset
            guard metadataKeys.insert(key) else {
                throw FormatError(file: file, offset: offset, problem: .duplicateName(key))
            }
            let text = try scanner.string()
            if metadata[key] == nil { metadata[key] = text }
        }
    }

    /// The description of one tensor. Unknown fields are skipped.
    private mutating func parseEntry(name: String, offset: Int) throws(FormatError) -> Entry {
        var dtype: String?
        var shape: [Int]?
        var offsets: (begin: Int, end: Int)?
        var others = NameSet()
        var first = true
        try scanner.beginObject()
        while let field = try scanner.key(first: &first) {
            let fieldOffset = scanner.stringOffset
            let isNew: Bool
            switch field {
            case "dtype":
                isNew = dtype == nil
                dtype = try scanner.string()
            case "shape":
                isNew = shape == nil
                shape = try parseShape()
            case "data_offsets":
                isNew = offsets == nil
                offsets = try parseOffsets()
            default:
                isNew = others.insert(field)
                try scanner.skipValue()
            }
            guard isNew else {
                throw FormatError(file: file, offset: fieldOffset, problem: .duplicateName(field))
            }
        }
        func missing(_ field: String) -> FormatError {
            FormatError(file: file, offset: offset, problem: .missingField(field))
        }
        guard let dtype else { throw missing("dtype") }
        guard let shape else { throw missing("shape") }
        guard let offsets else { throw missing("data_offsets") }
        return Entry(
            name: name, dtype: dtype, shape: shape, begin: offsets.begin, end: offsets.end, offset: offset)
    }

    private mutating func parseShape() throws(FormatError) -> [Int] {
        var shape: [Int] = []
        var first = true
        try scanner.beginArray()
        while try scanner.element(first: &first) {
            guard shape.count < Safetensors.maximumDimensions else {
                throw FormatError(
                    file: file, offset: scanner.offset,
                    problem: .tooManyDimensions(limit: Safetensors.maximumDimensions))
            }
            shape.append(try scanner.integer())
        }
        return shape
    }

    private mutating func parseOffsets() throws(FormatError) -> (begin: Int, end: Int) {
        var first = true
        try scanner.beginArray()
        var offsets: [Int] = []
        while offsets.count <= 2, try scanner.element(first: &first) {
            offsets.append(try scanner.integer())
        }
        guard offsets.count == 2 else {
            throw FormatError(file: file, offset: scanner.offset, problem: .json(.expected("two offsets")))
        }
        return (offsets[0], offsets[1])
    }

    private func checkSize(_ entry: Entry) throws(FormatError) {
        func error(_ problem: FormatError.Problem) -> FormatError {
            FormatError(file: file, offset: entry.offset, problem: problem)
        }
        guard let type = ElementType.safetensors[entry.dtype] else {
            throw error(.unknownType(entry.dtype))
        }
        guard entry.begin <= entry.end else {
            throw error(.offsetsReversed(begin: entry.begin, end: entry.end))
        }
        guard let elements = ElementType.elementCount(shape: entry.shape),
            let bits = type.bitCount(elements: elements)
        else { throw error(.sizeOverflow(shape: entry.shape)) }
        guard bits.isMultiple(of: 8) else { throw error(.partialByte(bits: bits)) }
        guard entry.end - entry.begin == bits / 8 else {
            throw error(.sizeMismatch(expected: bits / 8, found: entry.end - entry.begin))
        }
    }

    /// The tensors with their offsets in the file, sorted by offset, then by name.
    ///
    /// - Parameters:
    ///   - dataStart: The position of the data in the file, in bytes.
    ///   - fileBytes: The size of the file, in bytes.
    /// - Throws: `FormatError` unless the tensors cover the data from its start to the end of the
    ///   file without a hole or an overlap.
    package mutating func place(dataStart: Int, fileBytes: Int) throws(FormatError) -> [TensorInfo] {
        // An empty tensor precedes the tensor that begins at the same offset.
        entries.sort { ($0.begin, $0.end) < ($1.begin, $1.end) }
        var end = 0
        for entry in entries {
            guard entry.begin == end else {
                throw FormatError(
                    file: file, tensor: entry.name, offset: entry.offset,
                    problem: .notContiguous(expected: UInt64(end), found: UInt64(entry.begin)))
            }
            end = entry.end
        }
        guard end == fileBytes - dataStart else {
            throw FormatError(
                file: file, offset: dataStart,
                problem: .dataEnd(expected: end, found: fileBytes - dataStart))
        }
        return entries.map { entry in
            TensorInfo(
                name: entry.name, dtype: entry.dtype, shape: entry.shape,
                offset: dataStart + entry.begin, bytes: entry.end - entry.begin)
        }.sorted(by: FileLayout.precedes)
    }
}
