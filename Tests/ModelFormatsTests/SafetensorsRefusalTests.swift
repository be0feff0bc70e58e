import ModelFormats
import Testing

/// The rules of `safetensors/src/tensor.rs`, and those that this reader adds.
@Suite("Refusing safetensors")
struct SafetensorsRefusalTests {
    /// Expects a refusal of a file with one tensor "t".
    private func expectEntryRefusal(
        _ entry: String, data: Int = 0, _ problem: FormatError.Problem, at text: String = #""t":"#,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let file = SafetensorsFile("{\"t\":\(entry)}", data: data)
        expectRefusal(
            problem, tensor: "t", at: file.offset(of: text), sourceLocation: sourceLocation, from: file.read)
    }

    // MARK: The length of the header

    @Test("a file of less than 8 bytes is cut short")
    func headerTooSmall() {
        for count in 0..<8 {
            expectRefusal(.cutShort(expected: 8, found: count), at: 0) {
                try layout(of: [UInt8](repeating: 0, count: count), format: .safetensors)
            }
        }
    }

    @Test(
        "a header above the limit is refused before it is read",
        arguments: [512 << 20 + 1, 1 << 32, 1 << 62, 1 << 63, .max - 8, .max] as [UInt64])
    func headerTooLarge(length: UInt64) {
        let source = MeteredSource(littleEndian(length) + Array("{}".utf8), count: .max)
        expectRefusal(.headerTooLong(bytes: length, limit: 512 << 20), at: 0) {
            try FileLayout.read(source, format: .safetensors)
        }
        #expect(source.largestRead == 8)
    }

    @Test("a header longer than the file is refused before it is read")
    func headerLongerThanFile() {
        var file = SafetensorsFile("{}")
        for length in [3, 512 << 20] as [UInt64] {
            file.headerBytes = length
            let source = MeteredSource(file.bytes)
            expectRefusal(.cutShort(expected: 8 + Int(length), found: 10), at: 0) {
                try FileLayout.read(source, format: .safetensors)
            }
            #expect(source.largestRead == 8)
        }
    }

    @Test("a header begins with {", arguments: [" {}", "\n{}", "[]", "null", "\0{}", "\u{FEFF}{}"])
    func headerStart(json: String) {
        expectRefusal(.headerStart(found: json.utf8.first!), at: 8) { try SafetensorsFile(json).read() }
    }

    @Test("an empty header is refused")
    func emptyHeader() {
        expectRefusal(.json(.expected("an object")), at: 8) { try SafetensorsFile("").read() }
    }

    @Test("nothing but white space follows the header's object")
    func afterTheObject() {
        for end in ["x", "{}", "\0\0", ","] {
            expectRefusal(.json(.expected("the end of the JSON text")), at: 11) {
                try SafetensorsFile("{} \(end)").read()
            }
        }
    }

    // MARK: UTF-8

    @Test(
        "a name that is not UTF-8 is refused",
        arguments: [
            [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82],
        ] as [[UInt8]])
    func invalidUTF8(name: [UInt8]) {
        var file = SafetensorsFile("")
        file.header = Array("{\"".utf8) + name + Array("\":{}}".utf8)
        expectRefusal(.json(.invalidUTF8), at: 10, from: file.read)
        file.header = Array("{\"__metadata__\":{\"k\":\"\\n".utf8) + name + Array("\"}}".utf8)
        expectRefusal(.json(.invalidUTF8), at: 8 + 22, from: file.read)
    }

    @Test("bytes outside of strings that are not ASCII are refused")
    func invalidUTF8OutsideStrings() {
        var file = SafetensorsFile("")
        file.header = Array("{".utf8) + [0xFF] + Array("}".utf8)
        expectRefusal(.json(.expected("a string")), at: 9, from: file.read)
    }

    // MARK: Entries

    @Test("a tensor has a type, a shape and offsets")
    func missingFields() {
        expectEntryRefusal(#"{"shape":[1],"data_offsets":[0,1]}"#, data: 1, .missingField("dtype"))
        expectEntryRefusal(#"{"dtype":"U8","data_offsets":[0,1]}"#, data: 1, .missingField("shape"))
        expectEntryRefusal(#"{"dtype":"U8","shape":[1]}"#, data: 1, .missingField("data_offsets"))
        expectEntryRefusal("{}", .missingField("dtype"))
    }

    @Test("a tensor is an object", arguments: [#"["U8",[1],[0,1]]"#, "null", "1", #""U8""#])
    func entryKinds(entry: String) {
        expectEntryRefusal(entry, data: 1, .json(.expected("an object")), at: entry)
    }

    @Test("a type that the format does not have is refused", arguments: ["F5", "f32", "", "BF16 ", "Q4_K"])
    func unknownType(name: String) {
        expectEntryRefusal(
            #"{"dtype":"\#(name)","shape":[1],"data_offsets":[0,4]}"#, data: 4, .unknownType(name))
    }

    @Test("fields have the kinds of the format")
    func fieldKinds() {
        expectEntryRefusal(
            #"{"dtype":8,"shape":[1],"data_offsets":[0,1]}"#, .json(.expected("a string")), at: "8,")
        expectEntryRefusal(
            #"{"dtype":"U8","shape":7,"data_offsets":[0,1]}"#, .json(.expected("an array")), at: "7,")
        expectEntryRefusal(
            #"{"dtype":"U8","shape":null,"data_offsets":[0,1]}"#, .json(.expected("an array")),
            at: "null")
        expectEntryRefusal(
            #"{"dtype":"U8","shape":[1],"data_offsets":{}}"#, .json(.expected("an array")), at: "{}}")
    }

    @Test(
        "a dimension is a nonnegative integer", arguments: ["-1", "1.0", "1e2", "\"1\"", "null", "[1]"])
    func dimensions(text: String) {
        expectEntryRefusal(
            #"{"dtype":"U8","shape":[\#(text)],"data_offsets":[0,1]}"#,
            .json(.expected("a nonnegative integer")), at: text)
    }

    @Test("offsets are two")
    func twoOffsets() {
        let problem = FormatError.Problem.json(.expected("two offsets"))
        expectEntryRefusal(#"{"dtype":"U8","shape":[1],"data_offsets":[]}"#, problem, at: "}}")
        expectEntryRefusal(#"{"dtype":"U8","shape":[1],"data_offsets":[0]}"#, problem, at: "}}")
        expectEntryRefusal(#"{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}"#, problem, at: "]}}")
    }

    @Test("more than 64 dimensions are refused")
    func tooManyDimensions() {
        let ones = Array(repeating: "1", count: 65).joined(separator: ",")
        expectEntryRefusal(
            #"{"dtype":"U8","shape":[\#(ones)],"data_offsets":[0,1]}"#, data: 1,
            .tooManyDimensions(limit: 64), at: #"1],"data"#)
    }

    @Test("metadata is an object of strings")
    func metadataKinds() {
        for value in ["1", "[]", "\"x\"", "true"] {
            let file = SafetensorsFile(#"{"__metadata__":\#(value)}"#)
            expectRefusal(.json(.expected("an object")), at: file.offset(of: value), from: file.read)
        }
        for value in ["1", "null", "{}", "[]"] {
            let file = SafetensorsFile(#"{"__metadata__":{"k":\#(value)}}"#)
            expectRefusal(.json(.expected("a string")), at: file.offset(of: value), from: file.read)
        }
    }

    // MARK: Sizes

    @Test("the size of the data is shape times type")
    func sizeMismatch() {
        expectEntryRefusal(
            #"{"dtype":"F32","shape":[2,2],"data_offsets":[0,15]}"#, data: 15,
            .sizeMismatch(expected: 16, found: 15))
        expectEntryRefusal(
            #"{"dtype":"F32","shape":[],"data_offsets":[0,0]}"#,
            .sizeMismatch(expected: 4, found: 0))
        expectEntryRefusal(
            #"{"dtype":"F32","shape":[0],"data_offsets":[0,4]}"#, data: 4,
            .sizeMismatch(expected: 0, found: 4))
    }

    @Test("elements of less than a byte fill whole bytes")
    func partialBytes() {
        expectEntryRefusal(
            #"{"dtype":"F4","shape":[1,3],"data_offsets":[0,2]}"#, data: 2, .partialByte(bits: 12))
        for type in ["F6_E2M3", "F6_E3M2"] {
            expectEntryRefusal(
                #"{"dtype":"\#(type)","shape":[5],"data_offsets":[0,4]}"#, data: 4,
                .partialByte(bits: 30))
        }
    }

    private static let overflowing: [(String, [Int])] = [
        ("U8", [.max, 2]), ("U8", [1 << 32, 1 << 31]), ("U16", [1 << 59]), ("U64", [1 << 57]),
        ("F4", [1 << 61, 1]), ("U8", [1 << 62, 1 << 62, 0]),
    ]

    @Test("a size that does not fit 63 bits is refused", arguments: overflowing)
    func sizeOverflow(type: String, shape: [Int]) {
        let dimensions = shape.map(String.init).joined(separator: ",")
        expectEntryRefusal(
            #"{"dtype":"\#(type)","shape":[\#(dimensions)],"data_offsets":[0,0]}"#,
            .sizeOverflow(shape: shape))
    }

    @Test(
        "numbers above 63 bits are refused",
        arguments: [
            "9223372036854775808", "18446744073709551615", "18446744073709551616",
            "99999999999999999999999999999999999999999999",
        ])
    func hugeNumbers(number: String) {
        expectEntryRefusal(
            #"{"dtype":"U8","shape":[\#(number)],"data_offsets":[0,1]}"#,
            .json(.numberTooLarge), at: number)
        expectEntryRefusal(
            #"{"dtype":"U8","shape":[1],"data_offsets":[0,\#(number)]}"#,
            .json(.numberTooLarge), at: number)
    }

    @Test("numbers are written as JSON writes them", arguments: ["00", "01", "0123"])
    func leadingZeros(number: String) {
        expectEntryRefusal(
            #"{"dtype":"U8","shape":[\#(number)],"data_offsets":[0,1]}"#, .json(.badNumber),
            at: number)
    }

    // MARK: Offsets

    @Test("data does not end before it begins")
    func reversedOffsets() {
        expectEntryRefusal(
            #"{"dtype":"U8","shape":[1],"data_offsets":[1,0]}"#, data: 1,
            .offsetsReversed(begin: 1, end: 0))
    }

    @Test("data begins with the first tensor")
    func holeAtStart() {
        expectEntryRefusal(
            #"{"dtype":"U8","shape":[1],"data_offsets":[1,2]}"#, data: 2,
            .notContiguous(expected: 0, found: 1))
    }

    @Test("tensors leave no hole and do not overlap", arguments: [3, 5])
    func holesAndOverlaps(begin: Int) {
        let file = SafetensorsFile(
            """
            {"b":{"dtype":"U8","shape":[4],"data_offsets":[\(begin),\(begin + 4)]},\
            "a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}
            """, data: begin + 4)
        expectRefusal(
            .notContiguous(expected: 4, found: UInt64(begin)), tensor: "b", at: file.offset(of: #""b""#),
            from: file.read)
    }

    @Test("two tensors do not share their bytes")
    func sharedBytes() {
        let file = SafetensorsFile(
            """
            {"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},\
            "b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}
            """, data: 4)
        expectRefusal(
            .notContiguous(expected: 2, found: 0), tensor: "a", at: file.offset(of: #""a""#), from: file.read)
    }

    @Test("an empty tensor inside another overlaps it")
    func emptyTensorInside() {
        let file = SafetensorsFile(
            """
            {"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},\
            "e":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}}
            """, data: 4)
        expectRefusal(
            .notContiguous(expected: 4, found: 2), tensor: "e", at: file.offset(of: #""e""#), from: file.read)
    }

    @Test("the data ends with the last tensor", arguments: [0, 3, 5, 100])
    func dataEnd(data: Int) {
        let file = SafetensorsFile(#"{"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, data: data)
        expectRefusal(.dataEnd(expected: 4, found: data), at: 8 + file.header.count, from: file.read)
    }

    @Test("a file without tensors has no data")
    func dataWithoutTensors() {
        expectRefusal(.dataEnd(expected: 0, found: 1), at: 10) { try SafetensorsFile("{}", data: 1).read() }
    }

    // MARK: Names

    @Test("a tensor, a metadata key or a field that appears twice is refused, even by another spelling")
    func duplicateNames() {
        let entry = #"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
        let tensors = SafetensorsFile(#"{"q":\#(entry),"\u0071":\#(entry)}"#)
        expectRefusal(
            .duplicateName("q"), tensor: "q", at: tensors.offset(of: #""\u0071""#), from: tensors.read)
        let keys = SafetensorsFile(#"{"__metadata__":{"k":"1","\u006b":"1"}}"#)
        expectRefusal(.duplicateName("k"), at: keys.offset(of: #""\u006b""#), from: keys.read)
        let blocks = SafetensorsFile(#"{"__metadata__":{}, "__metadata__":{}}"#)
        expectRefusal(
            .duplicateName("__metadata__"), at: blocks.offset(of: #" "__m"#) + 1, from: blocks.read)
        for field in [#""dtype":"U8""#, #""shape":[0]"#, #""data_offsets":[0,0]"#] {
            let name = String(field.split(separator: "\"")[0])
            expectEntryRefusal(
                #"{"dtype":"U8","shape":[0],"data_offsets":[0,0], \#(field)}"#,
                .duplicateName(name), at: field + "}}")
        }
        expectEntryRefusal(#"{"x":0, "x":1}"#, .duplicateName("x"), at: #""x":1"#)
    }

    @Test("names that differ only in Unicode normalization are two, and the same bytes in another spelling are one")
    func normalization() throws {
        let entry = #"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
        let twins = SafetensorsFile(#"{"\u00e9":\#(entry),"e\u0301":\#(entry)}"#)
        #expect(try twins.read().tensors.map { Array($0.name.utf8) } == [Array("e\u{301}".utf8), Array("\u{E9}".utf8)])
        let same = SafetensorsFile(#"{"\u00e9":\#(entry),"é":\#(entry)}"#)
        expectRefusal(.duplicateName("é"), tensor: "é", at: same.offset(of: #""é""#), from: same.read)
    }

    // MARK: Hostile JSON

    @Test("deep nesting is refused at any depth", arguments: ["[", #"{"a":"#])
    func deepNesting(open: String) {
        for depth in [64, 100_000] {
            let file = SafetensorsFile(#"{"t":{"x":"# + String(repeating: open, count: depth))
            let first = file.offset(of: #""x":"#) + 4
            expectRefusal(
                .json(.tooDeep(limit: 64)), tensor: "t", at: first + 64 * open.utf8.count, from: file.read)
        }
    }

    @Test("nesting below the limit is skipped")
    func nestingBelowTheLimit() throws {
        let value = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        let file = SafetensorsFile(
            #"{"t":{"x":\#(value),"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)
        #expect(try file.read().tensors.count == 1)
    }

    @Test("a header of a megabyte is read")
    func largeHeader() throws {
        let entries = (0..<14_000).map { index in
            #""tensor.\#(index)":{"dtype":"U8","shape":[1],"data_offsets":[\#(index),\#(index + 1)]}"#
        }
        let file = SafetensorsFile("{\(entries.joined(separator: ","))}", data: 14_000)
        #expect(file.header.count > 900_000)
        let layout = try file.read()
        #expect(layout.tensors.count == 14_000)
        #expect(brokenPromise(of: layout) == nil)
    }
}
