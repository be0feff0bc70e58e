import ModelFormats

/// An unusual file that was stored.
public struct FileWarning: Sendable, Codable, Equatable {
    /// The path in the revision.
    public var path: String
    /// What is unusual, and what will not work.
    public var warning: String
}

extension FileWarning {
    init(path: String, _ error: FormatError) { self.init(path: path, warning: error.warning) }
}
