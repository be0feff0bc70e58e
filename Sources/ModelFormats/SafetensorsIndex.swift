/// The index of a model with several safetensors files: `model.safetensors.index.json`, as Transformers and
/// Diffusers write it.
///
///     {"metadata": {"total_size": 64}, "weight_map": {"q": "model-00001-of-00002.safetensors"}}
public struct SafetensorsIndex: Sendable, Hashable {
    /// The index's own file name, for errors.
    public var name: String

    /// A tensor, and the file that holds it.
    public struct Entry: Sendable, Hashable {
        /// The name of the tensor.
        public var tensor: String
        /// The path of the file, relative to the index.
        public var file: String

        /// Creates an entry; nothing is checked.
        public init(tensor: String, file: String) {
            self.tensor = tensor
            self.file = file
        }
    }

    /// `weight_map`: the file of each tensor, in the order of the index. Each tensor is named once; names are compared by
    /// bytes.
    public var weightMap: [Entry]

    /// `metadata.total_size`: the total size of the tensors according to the writer, in bytes. It is not checked,
    /// because some writers count tied tensors twice.
    public var totalBytes: Int?

    /// The largest index that is read, in bytes. That of a model with a million tensors has about 100 MB.
    public static let maximumBytes = 256 << 20

    /// The distinct files of the map, sorted by their bytes.
    public var files: [String] {
        Set(weightMap.map { Array($0.file.utf8) }).sorted { $0.lexicographicallyPrecedes($1) }
            .map { String(decoding: $0, as: UTF8.self) }
    }

    /// Reads an index. Keys other than `weight_map` and `metadata.total_size` are skipped.
    ///
    /// - Parameters:
    ///   - name: The file's name in errors.
    ///   - bytes: The whole file.
    /// - Throws: `FormatError` if the bytes are not an index, contain a tensor twice, or contain a file name that is
    ///   absolute or has an empty, `.` or `..` component.
    public static func parse(name: String, bytes: [UInt8]) throws -> SafetensorsIndex {
        var parser = Parser(name: name, scanner: JSONScanner(file: name, bytes: bytes, base: 0))
        try parser.parse()
        guard let weightMap = parser.weightMap else {
            throw FormatError(file: name, offset: 0, problem: .missingField("weight_map"))
        }
        return SafetensorsIndex(name: name, weightMap: weightMap, totalBytes: parser.totalBytes)
    }

    /// Checks the index against its files. Tensors that are not in the index are allowed.
    ///
    /// - Parameter layouts: The layout of every file, by its name in the index.
    /// - Returns: `.tensorNotInFile` for each tensor that is not in its file, sorted by name: such an index was copied
    ///   from another model, or not written again when tensors were removed.
    /// - Throws: `FormatError` with `.missingFile` for a file without a layout.
    @discardableResult
    public func check(_ layouts: some Sequence<(key: String, value: FileLayout)>) throws -> [FormatError] {
        let byName = Dictionary(layouts.map { (Array($0.key.utf8), $0.value) }) { first, _ in first }
        var tensors: [[UInt8]: Set<[UInt8]>] = [:]
        for file in files {
            guard let layout = byName[Array(file.utf8)] else {
                throw FormatError(file: name, offset: 0, problem: .missingFile(file))
            }
            tensors[Array(file.utf8)] = Set(layout.tensors.map { Array($0.name.utf8) })
        }
        return weightMap.filter { tensors[Array($0.file.utf8)]?.contains(Array($0.tensor.utf8)) != true }
            .sorted { $0.tensor.utf8.lexicographicallyPrecedes($1.tensor.utf8) }
            .map { FormatError(file: name, tensor: $0.tensor, offset: 0, problem: .tensorNotInFile($0.file)) }
    }
}

extension SafetensorsIndex {
    private struct Parser: ~Copyable {
        let name: String
        var scanner: JSONScanner
        var weightMap: [Entry]?
        var totalBytes: Int?

        init(name: String, scanner: consuming JSONScanner) {
            self.name = name
            self.scanner = scanner
        }

        mutating func parse() throws(FormatError) {
            var keys: Set<[UInt8]> = []
            var first = true
            try scanner.beginObject()
            while let key = try scanner.key(first: &first) {
                guard keys.insert(Array(key.utf8)).inserted else { throw duplicate(key) }
                switch key {
                case "weight_map": weightMap = try parseWeightMap()
                case "metadata": try parseMetadata()
                default: try scanner.skipValue()
                }
            }
            try scanner.end()
        }

        private mutating func parseWeightMap() throws(FormatError) -> [Entry] {
            var map: [Entry] = []
            var tensors: Set<[UInt8]> = []
            var first = true
            try scanner.beginObject()
            while let tensor = try scanner.key(first: &first) {
                guard tensors.insert(Array(tensor.utf8)).inserted else { throw duplicate(tensor, tensor: tensor) }
                let file = try scanner.string()
                guard Self.isPlainRelativePath(file) else {
                    throw FormatError(
                        file: name, tensor: tensor, offset: scanner.stringOffset,
                        problem: .unsafeFileName(file))
                }
                map.append(Entry(tensor: tensor, file: file))
            }
            return map
        }

        private mutating func parseMetadata() throws(FormatError) {
            if try scanner.null() { return }
            var keys: Set<[UInt8]> = []
            var first = true
            try scanner.beginObject()
            while let key = try scanner.key(first: &first) {
                guard keys.insert(Array(key.utf8)).inserted else { throw duplicate(key) }
                if key == "total_size" {
                    totalBytes = try parseTotalBytes()
                } else {
                    try scanner.skipValue()
                }
            }
        }

        /// Reads a float, too: Python writes one if a division computed the size.
        private mutating func parseTotalBytes() throws(FormatError) -> Int? {
            if try scanner.null() { return nil }
            let offset = scanner.offset
            let number = try scanner.number()
            // Not `Int(exactly:)`: it calls `trunc`, and nothing else in this module needs libm.
            guard number >= 0, number < 0x1p63, Double(Int(number)) == number else {
                throw FormatError(
                    file: name, offset: offset,
                    problem: .json(.expected("a nonnegative integer")))
            }
            return Int(number)
        }

        private func duplicate(_ key: String, tensor: String? = nil) -> FormatError {
            FormatError(
                file: name, tensor: tensor, offset: scanner.stringOffset, problem: .duplicateName(key))
        }

        private static func isPlainRelativePath(_ path: String) -> Bool {
            let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
            return !path.utf8.contains(0)
                && parts.allSatisfy { part in
                    !part.isEmpty && !part.elementsEqual(".".utf8) && !part.elementsEqual("..".utf8)
                }
        }
    }
}
