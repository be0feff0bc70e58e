import Synchronization

/// The format of a model file, identified by name: `safetensors`, `gguf`, `other`.
///
/// A name without a reader in this version was written by a newer version, and is kept so that the newer version can
/// read the file again.
public struct FileFormat: RawRepresentable, Hashable, Sendable {
    /// The formats with a reader; add a new one here.
    private static let formats = Mutex<[any ModelFormat.Type]>([
        Safetensors.self,
        GGUF.self,
    ])

    /// The format of ``Safetensors``.
    public static let safetensors = FileFormat(Safetensors.self)
    /// The format of ``GGUF``.
    public static let gguf = FileFormat(GGUF.self)
    /// Any other file: configuration, tokenizer, an unknown format. No tensors are read from it.
    public static let other = FileFormat(name: "other")

    /// The formats with a reader, in the order of registration.
    public static var readable: [FileFormat] { formats.withLock { $0.map { FileFormat($0) } } }

    /// Adds a format at run time, replacing one of the same name. Traps if the name is empty or has white space.
    public static func register(_ format: any ModelFormat.Type) {
        precondition(
            FileFormat(rawValue: format.name) != nil, "format name \"\(format.name)\" is empty or has white space")
        formats.withLock { formats in
            formats.removeAll { $0.name == format.name }
            formats.append(format)
        }
    }

    /// The name of the format.
    public let rawValue: String

    /// Creates a format from its name, whether or not it has a reader.
    ///
    /// - Returns: nil if the name is empty or has white space.
    public init?(rawValue: String) {
        guard !rawValue.isEmpty, !rawValue.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) else { return nil }
        self.init(name: rawValue)
    }

    /// The format of a reader.
    public init(_ format: any ModelFormat.Type) { self.init(name: format.name) }

    private init(name: String) { rawValue = name }

    /// The number of bytes at the beginning of a file that ``detect(name:head:)`` uses; a shorter file has fewer.
    public static let headBytes = 64

    /// The format in which a file is read. Its bytes decide: a GGUF file is one under any name.
    ///
    /// A file that begins like none of the formats has the format that its extension names, and is refused when it is
    /// read. A format without a signature is selected by its extension alone.
    ///
    /// - Parameters:
    ///   - name: the file's name, or its path.
    ///   - head: its first ``headBytes``.
    public static func detect(name: String, head: [UInt8]) -> FileFormat {
        if let named = withoutSignature(name) { return named }
        let found = formats.withLock { formats in formats.first { $0.recognizes(head) == true } }
        return found.map { FileFormat($0) } ?? FileFormat(path: name)
    }

    /// The format that a path's extension names, if it has no signature: then no byte is needed to detect it.
    static func withoutSignature(_ path: String) -> FileFormat? {
        let named = FileFormat(path: path)
        return named.reader != nil && !named.hasSignature ? named : nil
    }

    /// The format that a path's extension names, in any case: `model.safetensors`, `M.GGUF`. ``detect(name:head:)``
    /// decides how a file is read.
    public init(path: String) {
        let parts = Self.fileName(of: path).utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        // A name like ".gguf" is a hidden file without an extension.
        guard parts.count > 2 || parts.first?.isEmpty == false, parts.count > 1 else {
            self = .other
            return
        }
        let end = String(decoding: parts[parts.count - 1], as: UTF8.self).lowercased()
        let format = Self.formats.withLock { formats in formats.first { $0.fileExtensions.contains(end) } }
        self = format.map { FileFormat($0) } ?? .other
    }

    /// The last component of a path.
    static func fileName(of path: String) -> String {
        // By bytes: a `Character` may join a separator and what is beside it.
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        return slash.map { String(decoding: path.utf8[$0...].dropFirst(), as: UTF8.self) } ?? path
    }

    /// Whether shapes in files of this format list the innermost dimension first.
    public var isInnermostFirst: Bool { reader?.isInnermostFirst ?? false }

    /// Whether the first bytes of a file show that it is of this format.
    package var hasSignature: Bool { reader?.recognizes([]) != nil }

    /// The reader; nil for `other` and for a format that only a newer version knows.
    var reader: (any ModelFormat.Type)? { Self.formats.withLock { formats in formats.first { $0.name == rawValue } } }
}
