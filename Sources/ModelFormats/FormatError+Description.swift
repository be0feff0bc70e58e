extension FormatError: CustomStringConvertible {
    /// What happened, to which file, tensor and byte, and what to do about it.
    public var description: String {
        var place = file
        if let tensor { place += ": tensor \"\(tensor)\"" }
        return "\(place): \(problem.fact) (at byte \(offset)). \(problem.advice)"
    }
}

extension FormatError.Problem {
    var fact: String {
        switch self {
        case .cutShort(let expected, let found):
            "\(expected) bytes expected, \(found) found: the file is cut short"
        case .headerTooLong(let bytes, let limit):
            "a header of \(bytes) bytes; at most \(limit) are read"
        case .duplicateName(let name): "\"\(name)\" appears twice"
        case .unknownType(let name): "unknown element type \"\(name)\""
        case .sizeOverflow(let shape): "shape \(shape) has more bytes than can be counted"
        case .notContiguous(let expected, let found):
            "data begins at \(found), expected \(expected): \(found > expected ? "a hole" : "an overlap")"
        case .headerStart(let found): "the header begins with byte \(found), expected \"{\""
        case .json(let problem): "the JSON is malformed: \(problem.fact)"
        case .missingField(let field): "\"\(field)\" is missing"
        case .sizeMismatch(let expected, let found):
            "\(found) bytes of data, expected \(expected) from shape and type"
        case .partialByte(let bits): "\(bits) bits do not fill whole bytes"
        case .offsetsReversed(let begin, let end): "data ends at \(end), before it begins at \(begin)"
        case .dataEnd(let expected, let found):
            "\(found) bytes of data, expected \(expected) from the header"
        case .notGGUF: "the file does not begin with \"GGUF\""
        case .bigEndian: "a big-endian file; only little-endian files are read"
        case .unsupportedVersion(let version): "GGUF version \(version); versions 2 and 3 are read"
        case .countTooLarge(let what, let count, let limit):
            "\(count) \(what); the file could hold at most \(limit)"
        case .stringTooLong(let bytes, let limit): "a string of \(bytes) bytes; at most \(limit) are read"
        case .emptyKey: "a metadata key is empty"
        case .invalidUTF8: "a name is not UTF-8"
        case .unknownValueType(let type): "unknown metadata value type \(type)"
        case .arraysTooDeep(let limit): "metadata arrays are nested more than \(limit) deep"
        case .alignmentType(let type): "general.alignment is of type \(type), expected uint32"
        case .alignmentValue(let value): "general.alignment is \(value), expected a power of two"
        case .tooManyDimensions(let limit): "more than \(limit) dimensions"
        case .dimensionTooLarge(let size): "a dimension of \(size) elements"
        case .unknownTypeNumber(let number): "unknown ggml type \(number)"
        case .removedType(let number, let name): "ggml type \(number) (\(name)), which ggml removed"
        case .partialBlock(let row, let block):
            "rows of \(row) elements do not fill whole blocks of \(block)"
        case .rule(let fact): fact
        case .unsafeFileName(let name): "\"\(name)\" is not a plain relative path"
        case .missingFile(let name): "\"\(name)\" belongs to the model and is not there"
        case .tensorNotInFile(let name): "the index places it in \"\(name)\", which does not have it"
        case .notASplitName: "the name does not end in -00001-of-00009.gguf"
        case .mixedSplits(let one, let other): "parts of different models: \(one) and \(other)"
        case .missingMetadata(let key): "metadata \"\(key)\" is missing"
        case .splitDisagrees(let key, let expected, let found):
            "metadata \"\(key)\" is \(found), expected \(expected)"
        }
    }

    var advice: String {
        switch self {
        case .cutShort, .dataEnd: "Fetch the file again."
        case .bigEndian, .unsupportedVersion, .removedType: "Convert the model again with a current llama.cpp."
        case .unknownType, .unknownTypeNumber:
            "The file is damaged or newer than this program; fetch it again or update."
        case .missingFile: "Fetch the missing file."
        case .notASplitName, .mixedSplits: "Give the parts of one model under their published names."
        default: "The file is damaged or was not written by the rules of its format; fetch it again."
        }
    }
}

extension FormatError.JSONProblem {
    var fact: String {
        switch self {
        case .expected(let what): "expected \(what)"
        case .unterminatedString: "a string has no end"
        case .controlCharacter(let byte): "control character \(byte) in a string"
        case .badEscape: "an escape that is no character"
        case .invalidUTF8: "a string that is not UTF-8"
        case .badNumber: "a number that is not written as JSON writes numbers"
        case .numberTooLarge: "a number too large to hold"
        case .tooDeep(let limit): "nested more than \(limit) deep"
        }
    }
}
