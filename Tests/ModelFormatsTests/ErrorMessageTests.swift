import ModelFormats
import Testing

@Suite("Messages of errors")
struct ErrorMessageTests {
    @Test("a message says what happened, to what, and what to do")
    func messages() {
        let error = FormatError(
            file: "m.gguf", tensor: "blk.0.w", offset: 24, problem: .cutShort(expected: 100, found: 10))
        #expect(
            "\(error)" == """
                m.gguf: tensor "blk.0.w": 10 bytes, expected 100: the file is cut short \
                (at byte 24). Fetch the file again.
                """)
        let overlap = FormatError(
            file: "m", offset: 0, problem: .notContiguous(expected: 8, found: 4))
        #expect("\(overlap)".hasPrefix("m: data begins at 4, expected 8: an overlap (at byte 0). "))
        let hole = FormatError(file: "m", offset: 0, problem: .notContiguous(expected: 4, found: 8))
        #expect("\(hole)".contains("a hole"))
    }

    @Test("every problem has a message and an advice")
    func everyProblem() {
        let json: [FormatError.JSONProblem] = [
            .expected("x"), .unterminatedString, .controlCharacter(1), .badEscape, .invalidUTF8, .badNumber,
            .numberTooLarge, .tooDeep(limit: 1),
        ]
        let problems: [FormatError.Problem] = [
            .cutShort(expected: 1, found: 0), .headerTooLong(bytes: 2, limit: 1), .duplicateName("x"),
            .sizeOverflow(shape: [1]), .tooManyDimensions(limit: 4), .notContiguous(expected: 1, found: 2),
            .unknownType("x"), .headerStart(found: 1), .missingField("x"),
            .sizeMismatch(expected: 1, found: 2),
            .partialByte(bits: 4), .offsetsReversed(begin: 2, end: 1), .dataEnd(expected: 1, found: 2),
            .notGGUF,
            .bigEndian, .unsupportedVersion(1), .countTooLarge(of: "x", count: 2, limit: 1),
            .stringTooLong(bytes: 2, limit: 1), .emptyKey, .invalidUTF8, .unknownValueType(13),
            .arraysTooDeep(limit: 8), .alignmentType("x"), .alignmentValue(3), .dimensionTooLarge(.max),
            .unknownTypeNumber(99), .unknownTypeNumber(36), .unaligned(alignment: 32, found: 4), .joinedParts,
            .longHeader(bytes: 2, limit: 1), .foreignContent("x", expected: "gguf"), .gitLFSPointer,
            .partialBlock(row: 1, block: 32),
            .unsafeFileName("/"), .missingFile("x"), .tensorNotInFile("x"), .notASplitName,
            .mixedSplits("a", "b"), .missingMetadata("x"), .splitDisagrees(key: "x", expected: 1, found: "2"),
        ]
        let texts = (json.map { .json($0) } + problems).map { problem in
            FormatError(file: "f", offset: 7, problem: problem).description
        }
        #expect(Set(texts).count == texts.count)
        for text in texts {
            #expect(
                text.hasPrefix("f: ") && text.contains(" (at byte 7). ") && text.hasSuffix("."), "\(text)")
        }
    }

    @Test("a type number that ggml gave up is not said to be ggml's: forks use such numbers")
    func forks() {
        let error = FormatError(file: "f", tensor: "t", offset: 7, problem: .unknownTypeNumber(36))
        #expect("\(error)".contains("type 36: ggml removed it (IQ4_NL_4_4), and forks may mean another type"))
        #expect(!"\(error)".contains("onvert"))
        #expect(error.consequence != nil)
    }
}
