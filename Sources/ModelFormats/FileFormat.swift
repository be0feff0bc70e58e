import Synchronization

/// The format of a file of a model, by its name: `safetensors`, `gguf`, `other`.
///
/// A name that this version has no reader for is kept as it is: a newer version wrote it, and reads the file again.
public struct FileFormat: RawRepresentable, Hashable, Sendable {
    /// The list of formats.
    private static let formats = Mutex<[any ModelFormat.Type]>([
        Safetensors.self,
        GGUF.self,
    ])

    public static let safetensors = FileFormat(Safetensors.self)
    public static let gguf = FileFormat(GGUF.self)
    /// A file without tensors that we know of: configuration, tokenizer, another format.
    public static let other = FileFormat(name: "other")

    /// The formats that can be read, in the order of the list.
    public static var readable: [FileFormat] { formats.withLock { $0.map { FileFormat($0) } } }

    /// Adds a format at run time. One with the same name is replaced.
    public static func register(_ format: any ModelFormat.Type) {
        precondition(FileFormat(rawValue: format.name) != nil, "\"\(format.name)\" can't be the name of a format")
        formats.withLock { formats in
            formats.removeAll { $0.name == format.name }
            formats.append(format)
        }
    }

    public let rawValue: String

    /// - Returns: nil for a name that no format can have, because it is empty or has white space.
    public init?(rawValue: String) {
        guard !rawValue.isEmpty, !rawValue.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) else { return nil }
        self.init(name: rawValue)
    }

    public init(_ format: any ModelFormat.Type) { self.init(name: format.name) }

    private init(name: String) { rawValue = name }

    /// The format that a path's extension names, whatever its case: `model.safetensors`, `M.GGUF`.
    public init(path: String) {
        let file = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        let parts = file.split(separator: ".", omittingEmptySubsequences: false)
        // A name like ".gguf" is a hidden file without an extension.
        guard parts.count > 2 || parts.first?.isEmpty == false, parts.count > 1 else {
            self = .other
            return
        }
        let end = parts[parts.count - 1].lowercased()
        let format = Self.formats.withLock { formats in formats.first { $0.fileExtensions.contains(end) } }
        self = format.map { FileFormat($0) } ?? .other
    }

    /// Whether its files' shapes give the innermost dimension first.
    public var isInnermostFirst: Bool { reader?.isInnermostFirst ?? false }

    /// Reads its files; nil for `other`, and for a format of a newer version.
    var reader: (any ModelFormat.Type)? { Self.formats.withLock { formats in formats.first { $0.name == rawValue } } }
}
