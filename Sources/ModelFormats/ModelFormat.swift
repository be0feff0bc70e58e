/// A file format that contains tensors. A new format needs only one conformance, listed in ``FileFormat``.
///
/// A reader must not trust the file: it may be truncated or malicious. Check every value before use: allocate no size
/// from the file, and run no loop over a count from it, without a limit.
public protocol ModelFormat: SendableMetatype {
    /// The name of the format in manifests and the catalog. It must never change, and has no white space.
    static var name: String { get }

    /// The extensions of its files, in lower case and without the dot.
    static var fileExtensions: [String] { get }

    /// Whether shapes list the innermost dimension first; false by default.
    static var isInnermostFirst: Bool { get }

    /// Whether a file with these first bytes, of which there are up to ``FileFormat/headBytes``, is of the format,
    /// whatever its name. nil, the default, if its files begin with arbitrary bytes: then the extension selects the
    /// format.
    static func recognizes(_ head: [UInt8]) -> Bool?

    /// Reads the positions of a file's tensors, without their data.
    ///
    /// - Parameter source: The file, readable at any position and in any order. For a file at an origin, each read
    ///   fetches a few hundred KiB, so read adjacent parts together.
    /// - Returns: the layout. If its format is ``FileFormat/other``, the file is kept without tensors.
    /// - Throws: `FormatError` if the file breaks a rule of the format; errors of `source` pass through.
    static func readLayout(_ source: some ByteSource) throws -> FileLayout
}

extension ModelFormat {
    /// False: shapes list the outermost dimension first.
    public static var isInnermostFirst: Bool { false }

    /// nil: the extension selects the format.
    public static func recognizes(_ head: [UInt8]) -> Bool? { nil }
}
