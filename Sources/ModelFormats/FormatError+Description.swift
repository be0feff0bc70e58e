extension FormatError: CustomStringConvertible {
    /// The file, the tensor, the broken rule, its position and the next step.
    public var description: String {
        var place = file
        if let tensor { place += ": tensor \"\(tensor)\"" }
        return "\(place): \(problem.fact) (at byte \(offset)). \(problem.advice)"
    }

    /// What does not work with a file that is kept in spite of this violation; nil if no such file is kept.
    public var consequence: String? { problem.consequence }

    /// The violation as a warning about a file that is kept, without the file's name.
    package var warning: String {
        (tensor.map { "tensor \"\($0)\": " } ?? "") + problem.fact + ". "
            + (consequence ?? "The file is kept without its tensors.")
    }
}

extension FormatError.Problem {
    var fact: String {
        switch self {
        case .cutShort(let expected, let found):
            "\(found) bytes, expected \(expected): the file is cut short"
        case .headerTooLong(let bytes, let limit):
            "the header has \(bytes) bytes; the limit is \(limit)"
        case .duplicateName(let name): "\"\(name)\" appears twice"
        case .nameWithNUL: "the name of a tensor contains the character NUL"
        case .unknownType(let name): "unknown element type \"\(name)\""
        case .sizeOverflow(let shape): "shape \(shape) is too large: its size does not fit 63 bits"
        case .notContiguous(let expected, let found):
            "data begins at \(found), expected \(expected): \(found > expected ? "a hole" : "an overlap")"
        case .headerStart(let found): "the header begins with byte \(found), expected \"{\""
        case .json(let problem): "the JSON is malformed: \(problem.fact)"
        case .missingField(let field): "\"\(field)\" is missing"
        case .sizeMismatch(let expected, let found):
            "\(found) bytes of data, expected \(expected) from shape and type"
        case .partialByte(let bits): "the data has \(bits) bits, which are not whole bytes"
        case .offsetsReversed(let begin, let end): "data ends at \(end), before it begins at \(begin)"
        case .dataEnd(let expected, let found):
            "\(found) bytes of data, expected \(expected) from the header"
        case .notGGUF: "the file does not begin with \"GGUF\""
        case .bigEndian: "the file is big-endian; only little-endian files are supported"
        case .unsupportedVersion(let version): "GGUF version \(version) is not supported; versions 2 and 3 are"
        case .countTooLarge(let what, let count, let limit):
            "the header declares \(count) \(what); the file has space for at most \(limit)"
        case .stringTooLong(let bytes, let limit): "a string has \(bytes) bytes; the limit is \(limit)"
        case .emptyKey: "a metadata key is empty"
        case .invalidUTF8: "a name is not UTF-8"
        case .unknownValueType(let type): "unknown metadata value type \(type)"
        case .arraysTooDeep(let limit): "metadata arrays are nested more than \(limit) deep"
        case .alignmentType(let type): "general.alignment is of type \(type), expected uint32"
        case .alignmentValue(let value): "general.alignment is \(value), expected a power of two"
        case .tooManyDimensions(let limit): "more than \(limit) dimensions"
        case .dimensionTooLarge(let size): "a dimension has \(size) elements; the limit is 2^63 - 1"
        case .unknownTypeNumber(let number):
            "unknown ggml type \(number)"
                + (ElementType.removedGGML[number].map { ": ggml removed it (\($0)), and forks may mean another type" }
                    ?? "")
        case .unaligned(let alignment, let found):
            "data begins at \(found), which is no multiple of the alignment, \(alignment)"
        case .joinedParts: "another GGUF file follows the last tensor: parts of a split model were joined as with cat"
        case .longHeader(let bytes, let limit):
            "the header has \(bytes) bytes; the safetensors library reads at most \(limit)"
        case .foreignContent(let found, let expected): "the file is \(found), not \(expected)"
        case .gitLFSPointer: "the file is a git-lfs pointer in place of its content"
        case .partialBlock(let row, let block):
            "a row has \(row) elements, not a multiple of the block size \(block)"
        case .rule(let fact): fact
        case .unsafeFileName(let name):
            "\"\(name)\" is not a relative path without empty, \".\" and \"..\" components"
        case .missingFile(let name): "\"\(name)\" is part of the model, but is missing"
        case .tensorNotInFile(let name): "the index places the tensor in \"\(name)\", which does not contain it"
        case .notASplitName: "the name does not end in a part number like -00001-of-00009.gguf"
        case .mixedSplits(let one, let other): "parts of different models: \(one) and \(other)"
        case .missingMetadata(let key): "metadata \"\(key)\" is missing"
        case .splitDisagrees(let key, let expected, let found):
            "metadata \"\(key)\" is \(found), expected \(expected)"
        }
    }

    var advice: String {
        switch self {
        case .cutShort, .dataEnd, .foreignContent: "Fetch the file again."
        case .gitLFSPointer: "Run \"git lfs pull\" in its repository."
        case .bigEndian, .unsupportedVersion: "Convert the model again with a current llama.cpp."
        case .unknownType: "The file is damaged or newer than this version; fetch it again, or update this program."
        case .unknownTypeNumber, .unaligned, .longHeader, .tensorNotInFile: consequence ?? ""
        case .joinedParts: "Join the parts with llama-gguf-split --merge."
        case .missingFile: "Fetch the missing file."
        case .notASplitName, .mixedSplits: "Pass the parts of one model, with their published names."
        default: "The file is damaged or violates its format; fetch it again."
        }
    }

    var consequence: String? {
        switch self {
        case .unknownTypeNumber:
            "Only an engine that knows the type can use the tensor; its size is assumed from the next offset."
        case .unaligned: "llama.cpp refuses the file; Ollama reads it."
        case .longHeader: "The safetensors library refuses the file."
        case .tensorNotInFile: "Engines that load by the index do not find the tensor."
        case .joinedParts:
            "The file is kept without its tensors, and llama.cpp finds only those of the first part. Join the parts with "
                + "llama-gguf-split --merge."
        case .gitLFSPointer: "The file is kept as it is. Run \"git lfs pull\" in its repository, and import it again."
        default: nil
        }
    }
}

extension FormatError.JSONProblem {
    var fact: String {
        switch self {
        case .expected(let what): "expected \(what)"
        case .unterminatedString: "a string has no closing quote"
        case .controlCharacter(let byte): "a string contains the control character \(byte)"
        case .badEscape: "an escape sequence is invalid"
        case .invalidUTF8: "a string is not UTF-8"
        case .badNumber: "a number violates the JSON grammar"
        case .numberTooLarge: "a number is too large"
        case .tooDeep(let limit): "values are nested more than \(limit) levels deep"
        }
    }
}
