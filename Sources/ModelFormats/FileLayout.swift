/// The tensors of one file and their positions.
///
/// A layout that was read from a file, however damaged, has three invariants: tensors do not overlap, each is inside
/// the file, and no two have the same name. Names are compared by bytes, and contain no NUL.
public struct FileLayout: Sendable, Hashable {
    /// The format of the file.
    public var format: FileFormat

    /// The size of the file, in bytes.
    public var bytes: Int

    /// The tensors, sorted by offset, then by name.
    public var tensors: [TensorInfo]

    /// The metadata of the file: `__metadata__` of safetensors, or the key-value pairs of GGUF as text. A GGUF string
    /// longer than `GGUF.maximumMetadataBytes` is truncated and ends in "…"; an array is given as its count and
    /// type, `[32000 × string]`. Of two keys that Unicode holds equal (NFC and NFD), it has the first.
    public var metadata: [String: String]

    /// Rules that the file breaks, and with which it is usable: ``FormatError/consequence`` has the limits.
    public var warnings: [FormatError]

    /// Creates a layout; nothing is checked.
    public init(
        format: FileFormat, bytes: Int, tensors: [TensorInfo], metadata: [String: String], warnings: [FormatError] = []
    ) {
        self.format = format
        self.bytes = bytes
        self.tensors = tensors
        self.metadata = metadata
        self.warnings = warnings
    }

    /// Reads and checks the header of a file in the format that its bytes have (``FileFormat/detect(name:head:)``); the
    /// data of its tensors is not read.
    ///
    /// - Parameters:
    ///   - source: The bytes of the file.
    ///   - path: Its name, or its path.
    ///   - rules: The treatment of files that break a rule.
    /// - Throws: `FormatError` if the file breaks a rule of its format, with the real cause if its bytes are those of
    ///   something else; errors of `source` pass through.
    public static func read(
        _ source: some ByteSource, path: String, rules: ReadingRules = ReadingRules()
    ) throws -> FileLayout {
        let layout = try readDetected(source, path, rules)
        if rules.isStrict, let first = layout.warnings.first { throw first }
        return layout
    }

    private static func readDetected(
        _ source: some ByteSource, _ path: String, _ rules: ReadingRules
    ) throws -> FileLayout {
        // The front of a file that its name selects is not read: the format may begin elsewhere.
        let isNamed = FileFormat.withoutSignature(path) != nil
        let head = try isNamed ? [] : source.bytes(at: 0, count: min(source.count, FileFormat.headBytes))
        let format = FileFormat.detect(name: path, head: head)
        do {
            if let problem = format.mismatch(head) {
                throw FormatError(file: source.name, offset: 0, problem: problem)
            }
            return try read(source, format: format)
        } catch let error as FormatError where format == .other || rules.keepsOpaque || format.isPart(path) {
            return FileLayout(format: .other, bytes: source.count, tensors: [], metadata: [:], warnings: [error])
        }
    }

    /// Reads and checks the header of a file in a given format; the data of its tensors is not read.
    ///
    /// - Parameters:
    ///   - source: The bytes of the file.
    ///   - format: The format of the file. For `.other`, or a format without a reader, nothing is read and the layout
    ///     has no tensors.
    /// - Throws: `FormatError` if the file breaks a rule of its format or an invariant of layouts; errors of `source`
    ///   pass through.
    public static func read(_ source: some ByteSource, format: FileFormat) throws -> FileLayout {
        guard let reader = format.reader else {
            return FileLayout(format: format, bytes: source.count, tensors: [], metadata: [:])
        }
        var layout = try reader.readLayout(source)
        if layout.format != .other { layout.format = format }
        layout.bytes = source.count
        layout.tensors.sort(by: precedes)
        try layout.check(source.name)
        return layout
    }

    /// Checks the invariants, independently of the format's reader.
    private func check(_ file: String) throws(FormatError) {
        var names = NameSet()
        var end = 0
        for tensor in tensors {
            func error(_ problem: FormatError.Problem) -> FormatError {
                FormatError(file: file, tensor: tensor.name, offset: tensor.offset, problem: problem)
            }
            // White space is rejected because manifests separate the fields of a tensor by spaces.
            guard FileFormat(rawValue: tensor.dtype) != nil else { throw error(.unknownType(tensor.dtype)) }
            guard tensor.shape.allSatisfy({ $0 >= 0 }) else { throw error(.sizeOverflow(shape: tensor.shape)) }
            guard tensor.offset >= 0, tensor.offset <= bytes, tensor.bytes >= 0, tensor.bytes <= bytes - tensor.offset
            else {
                throw error(.cutShort(expected: tensor.bytes, found: max(0, bytes - max(0, tensor.offset))))
            }
            // SQLite and C end a text at NUL, so two names would become one.
            guard !tensor.name.utf8.contains(0) else { throw error(.nameWithNUL(tensor.name)) }
            guard names.insert(tensor.name) else { throw error(.duplicateName(tensor.name)) }
            if tensor.bytes == 0 { continue }
            guard tensor.offset >= end else {
                throw error(.notContiguous(expected: UInt64(end), found: UInt64(tensor.offset)))
            }
            end = tensor.offset + tensor.bytes
        }
    }

    /// The order of the tensors of a file: by offset, then by the bytes of the name.
    package static func precedes(_ left: TensorInfo, _ right: TensorInfo) -> Bool {
        left.offset != right.offset
            ? left.offset < right.offset : left.name.precedes(inBytes: right.name)
    }
}
