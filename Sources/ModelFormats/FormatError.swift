/// A model file breaks a rule of its format.
///
/// If it is thrown, do not use any part of the file: fetch it again, or report it to its publisher. In
/// ``FileLayout/warnings`` it is a violation with which the file is usable: ``consequence`` has its limits.
public struct FormatError: Error, Hashable {
    /// The name of the file's `ByteSource`.
    public var file: String

    /// The tensor whose description breaks the rule; nil if the rule is not about one tensor.
    public var tensor: String?

    /// The position at which the violation was detected, in bytes from the start of the file; 0 for a rule
    /// about several files.
    public var offset: Int

    /// The rule, with the expected and the found value.
    public var problem: Problem

    /// Creates an error.
    public init(file: String, tensor: String? = nil, offset: Int, problem: Problem) {
        self.file = file
        self.tensor = tensor
        self.offset = offset
        self.problem = problem
    }

    /// The rules that a file can break, each with the expected and the found value.
    /// Sizes and offsets are in bytes unless a name says otherwise.
    public enum Problem: Sendable, Hashable {
        // Any file.
        /// The bytes are those of something else, such as the error page of a server.
        case foreignContent(String, expected: String)
        /// The file is the pointer that git-lfs leaves in place of a file that it has not fetched.
        case gitLFSPointer

        // Both formats.
        /// The file, or the data, ends too early.
        case cutShort(expected: Int, found: Int)
        /// The header is longer than the format's limit.
        case headerTooLong(bytes: UInt64, limit: Int)
        /// A tensor, key or field appears twice.
        case duplicateName(String)
        /// The number of elements or bytes does not fit 63 bits.
        case sizeOverflow(shape: [Int])
        /// A tensor has more dimensions than the limit.
        case tooManyDimensions(limit: Int)
        /// A tensor does not begin where the previous one ends: there is a hole or an overlap.
        /// Offsets count from the start of the data.
        case notContiguous(expected: UInt64, found: UInt64)

        // Safetensors.
        /// The header is longer than the limit of the reference implementation.
        case longHeader(bytes: Int, limit: Int)
        /// The name of an element type is unknown.
        case unknownType(String)
        /// The header does not begin with `{`.
        case headerStart(found: UInt8)
        /// The name of a tensor contains NUL.
        case nameWithNUL(String)
        /// The header is not valid JSON.
        case json(JSONProblem)
        /// An object lacks a required field.
        case missingField(String)
        /// The data of a tensor does not have the size that its shape and type give.
        case sizeMismatch(expected: Int, found: Int)
        /// Elements smaller than a byte do not fill whole bytes.
        case partialByte(bits: Int)
        /// The data of a tensor ends before it begins.
        case offsetsReversed(begin: Int, end: Int)
        /// The data does not end with the last tensor.
        case dataEnd(expected: Int, found: Int)

        // GGUF.
        /// The file does not begin with `GGUF`.
        case notGGUF
        /// The file is big-endian.
        case bigEndian
        /// The GGUF version is neither 2 nor 3.
        case unsupportedVersion(UInt32)
        /// A count is greater than the rest of the file has space for.
        case countTooLarge(of: String, count: UInt64, limit: Int)
        /// A name is longer than the limit.
        case stringTooLong(bytes: UInt64, limit: Int)
        /// A metadata key is empty.
        case emptyKey
        /// A name is not UTF-8.
        case invalidUTF8
        /// A metadata value has an unknown type.
        case unknownValueType(UInt32)
        /// Metadata arrays are nested deeper than the limit.
        case arraysTooDeep(limit: Int)
        /// `general.alignment` is not of type uint32.
        case alignmentType(String)
        /// `general.alignment` is not a power of two.
        case alignmentValue(UInt32)
        /// A dimension does not fit 63 bits.
        case dimensionTooLarge(UInt64)
        /// The number of an element type is unknown: ggml's newer types, removed ones, and those of its forks.
        case unknownTypeNumber(UInt32)
        /// A tensor does not begin at a multiple of the alignment.
        case unaligned(alignment: Int, found: UInt64)
        /// Another GGUF file follows the last tensor.
        case joinedParts
        /// A row does not fill whole blocks of its quantized type.
        case partialBlock(row: Int, block: Int)

        // Registered formats.
        /// A rule without a case of its own, as a sentence without its full stop.
        case rule(String)

        // Several files of one model.
        /// A file name is absolute, or has an empty, `.` or `..` component.
        case unsafeFileName(String)
        /// A file of the model is missing.
        case missingFile(String)
        /// The file that the index gives for the tensor does not contain it.
        case tensorNotInFile(String)
        /// The name of a split file does not end in `-NNNNN-of-NNNNN.gguf`.
        case notASplitName
        /// The names of the parts differ in prefix or count.
        case mixedSplits(String, String)
        /// A required metadata key is missing.
        case missingMetadata(String)
        /// The metadata of a part does not match the parts that exist.
        case splitDisagrees(key: String, expected: Int, found: String)
    }

    /// The reasons why a text is not JSON (RFC 8259), or not the JSON that the format requires.
    public enum JSONProblem: Sendable, Hashable {
        /// The text has something else where the grammar or the format requires this.
        case expected(String)
        /// A string has no closing quote.
        case unterminatedString
        /// A string contains an unescaped control character.
        case controlCharacter(UInt8)
        /// An escape sequence is invalid.
        case badEscape
        /// A string is not UTF-8.
        case invalidUTF8
        /// A number violates the JSON grammar.
        case badNumber
        /// A number does not fit its type.
        case numberTooLarge
        /// Values are nested deeper than the limit.
        case tooDeep(limit: Int)
    }
}
