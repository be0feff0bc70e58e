/// A file of a model breaks a rule of its format.
///
/// The file is to be distrusted as a whole: fetch it again, or ask who published it.
public struct FormatError: Error, Equatable {
    /// The file's name as its `ByteSource` gives it.
    public var file: String

    /// The tensor whose description breaks the rule, where it is one tensor's.
    public var tensor: String?

    /// Where in the file the broken rule was noticed, in bytes from its start. For a rule about
    /// several files, 0.
    public var offset: Int

    public var problem: Problem

    public init(file: String, tensor: String? = nil, offset: Int, problem: Problem) {
        self.file = file
        self.tensor = tensor
        self.offset = offset
        self.problem = problem
    }

    /// The rules that a file can break, each with what was expected and what was found.
    /// Sizes and offsets are in bytes unless a name says otherwise.
    public enum Problem: Sendable, Equatable {
        // Both formats.
        /// The file ends before what should come next.
        case cutShort(expected: Int, found: Int)
        /// The header is longer than any honest one.
        case headerTooLong(bytes: UInt64, limit: Int)
        case duplicateName(String)
        /// The number of elements or bytes does not fit 63 bits.
        case sizeOverflow(shape: [Int])
        case tooManyDimensions(limit: Int)
        /// A tensor does not begin where the one before it ends: a hole or an overlap.
        /// Offsets count from the start of the data.
        case notContiguous(expected: UInt64, found: UInt64)

        // Safetensors.
        case unknownType(String)
        case headerStart(found: UInt8)
        case json(JSONProblem)
        case missingField(String)
        case sizeMismatch(expected: Int, found: Int)
        /// Elements of less than a byte do not fill whole bytes.
        case partialByte(bits: Int)
        case offsetsReversed(begin: Int, end: Int)
        /// The data goes on behind the last tensor, or ends before it does.
        case dataEnd(expected: Int, found: Int)

        // GGUF.
        case notGGUF
        case bigEndian
        case unsupportedVersion(UInt32)
        /// More of something than the rest of the file could hold.
        case countTooLarge(of: String, count: UInt64, limit: Int)
        case stringTooLong(bytes: UInt64, limit: Int)
        case emptyKey
        case invalidUTF8
        case unknownValueType(UInt32)
        case arraysTooDeep(limit: Int)
        case alignmentType(String)
        case alignmentValue(UInt32)
        case dimensionTooLarge(UInt64)
        case unknownTypeNumber(UInt32)
        case removedType(UInt32, name: String)
        /// A row does not fill whole blocks of its quantized type.
        case partialBlock(row: Int, block: Int)

        // Formats that are added.
        /// A rule that has no case here, as a sentence without its full stop.
        case rule(String)

        // Several files of one model.
        case unsafeFileName(String)
        case missingFile(String)
        /// The index says that the tensor is in a file that does not have it.
        case tensorNotInFile(String)
        case notASplitName
        /// The parts do not have the same prefix and count in their names.
        case mixedSplits(String, String)
        case missingMetadata(String)
        case splitDisagrees(key: String, expected: Int, found: String)
    }

    /// What makes a text not JSON as RFC 8259 defines it, or not the JSON that is wanted here.
    public enum JSONProblem: Sendable, Equatable {
        /// Something else than what the grammar or the format wants.
        case expected(String)
        case unterminatedString
        case controlCharacter(UInt8)
        case badEscape
        case invalidUTF8
        case badNumber
        case numberTooLarge
        case tooDeep(limit: Int)
    }
}
