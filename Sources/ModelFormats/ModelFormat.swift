/// A format of files that hold tensors. One conformance, entered in ``FileFormat``'s list, is all that a new format needs.
///
/// A reader gets a file that nothing is known of: it may be cut short, or be made to harm. Whatever it says is checked
/// before it is used: no size from the file is allocated, and nothing is looped over, without a limit.
public protocol ModelFormat: SendableMetatype {
    /// What manifests and the catalog call the format. It never changes, and has no white space.
    static var name: String { get }

    /// The extensions of its files, in lower case and without the dot.
    static var fileExtensions: [String] { get }

    /// Whether shapes give the innermost dimension first; false if not declared.
    static var isInnermostFirst: Bool { get }

    /// Reads where the tensors of a file are; their data is not read.
    ///
    /// - Parameter source: any part of the file can be read, in any order. A file behind an origin is fetched as it is
    ///   read, a few hundred KiB at once, so read what belongs together, and do not read the data.
    /// - Throws: `FormatError` when the file breaks a rule of the format; errors of `source` pass through.
    static func readLayout(_ source: some ByteSource) throws -> FileLayout
}

extension ModelFormat {
    public static var isInnermostFirst: Bool { false }
}
