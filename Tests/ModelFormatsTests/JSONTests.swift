import ModelFormats
import Testing

/// The JSON of headers and indexes, by RFC 8259.
@Suite("JSON")
struct JSONTests {
    /// Reads a string with the given text between its quotes, as metadata of a safetensors file.
    private func string(_ text: String) throws -> String? {
        try SafetensorsFile(#"{"__metadata__":{"k":"\#(text)"}}"#).read().metadata["k"]
    }

    /// Where in the file the text of that string begins.
    private let start = 8 + #"{"__metadata__":{"k":""#.utf8.count

    /// Skips a value of any kind, as an unknown key of an index.
    private func skip(_ value: String) throws {
        _ = try SafetensorsIndex.parse(
            name: fileName, bytes: Array("{\"x\":\(value),\"weight_map\":{}}".utf8))
    }

    @Test(
        "escapes are resolved",
        arguments: [
            (#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{C}\n\r\t"), (#"\u0041\u00e9\u00E9"#, "Aéé"),
            (#"\u0000"#, "\0"), (#"a\u20acb"#, "a€b"), (#"\uD83D\uDE00"#, "😀"),
            (#"\ud800\udc00"#, "\u{10000}"),
            (#"\uDBFF\uDFFF"#, "\u{10FFFF}"), (#"\uFFFF"#, "\u{FFFF}"), ("é€😀\u{7F}", "é€😀\u{7F}"), ("", ""),
        ])
    func escapes(text: String, expected: String) throws {
        #expect(try string(text) == expected)
    }

    @Test(
        "an escape that is no character is refused",
        arguments: [
            #"\x"#, #"\'"#, #"\U0041"#, #"\u"#, #"\u12"#, #"\u12G4"#, #"\u+123"#, #"\ "#,
            #"\uDC00"#, #"\uD800"#, #"\uD800x"#, #"\uD800\n"#, #"\uD800\u0041"#, #"\uD800\uD800"#,
            #"\uD800\u"#,
            #"\uD800\uE000"#, #"\uDC00\uDC00"#,
        ])
    func badEscapes(text: String) {
        expectRefusal(.json(.badEscape), at: start + 3) { try string("abc" + text) }
    }

    @Test("control characters in strings are escaped", arguments: 0x00...0x1F as ClosedRange<UInt8>)
    func controlCharacters(byte: UInt8) {
        let character = String(Unicode.Scalar(byte))
        expectRefusal(.json(.controlCharacter(byte)), at: start + 2) { try string("ab" + character) }
        expectRefusal(.json(.controlCharacter(byte)), at: start + 3) { try string(#"a\n"# + character) }
    }

    @Test("a string ends")
    func unterminated() {
        for text in ["abc", #"abc\n"#, "abc é"] {
            let file = SafetensorsFile(#"{"__metadata__":{"k":"\#(text)"#)
            expectRefusal(.json(.unterminatedString), at: start, from: file.read)
        }
        let file = SafetensorsFile(#"{"__metadata__":{"k":"\"#)
        expectRefusal(.json(.badEscape), at: start, from: file.read)
    }

    @Test(
        "any JSON value can be skipped",
        arguments: [
            "0", "-0", "10", "-1", "1.5", "1e5", "1E+5", "1e-5", "-0.0e-0", "1e-999",
            "123456789012345678901234567890",
            "true", "false", "null", #""""#, #""\u0041""#, "[]", "[ ]", "[1]", "[ 1 , [ ] ]", "{}", "{ }",
            #"{"a":{"b":[null,{}]}, "a" : 1 }"#, " \t\r\n1\n",
        ])
    func values(text: String) throws {
        try skip(text)
    }

    @Test(
        "a number is written as JSON writes numbers",
        arguments: ["-", "-a", "01", "-01", "1.", "1.e5", "1e", "1e+", "1E-x"])
    func numbers(text: String) {
        expectRefusal(.json(.badNumber), at: 5) { try skip(text) }
    }

    @Test("a number that a double cannot hold is refused", arguments: ["1e999", "-1e999"])
    func hugeNumbers(text: String) {
        expectRefusal(.json(.numberTooLarge), at: 5) { try skip(text) }
    }

    @Test(
        "text that is no value is refused",
        arguments: [
            "", "+1", ".5", "NaN", "Infinity", "nul", "True", "tru", "'a'", "/**/1", "\u{A0}1", "\u{C}1",
            "\u{B}1", "}", "]", ",",
        ])
    func noValues(text: String) {
        expectRefusal(.json(.expected("a JSON value")), at: 5) { try skip(text) }
    }

    @Test("commas stand between values and nowhere else")
    func commas() {
        func refuse(_ text: String, _ expected: String, at offset: Int) {
            expectRefusal(.json(.expected(expected)), at: offset) { try skip(text) }
        }
        refuse("[1,]", "a JSON value", at: 8)
        refuse("[,1]", "a JSON value", at: 6)
        refuse("[1 2]", "\",\" or \"]\"", at: 8)
        refuse("[1}", "\",\" or \"]\"", at: 7)
        refuse(#"{"a":1,}"#, "a string", at: 12)
        refuse(#"{"a":1 "b":2}"#, "\",\" or \"}\"", at: 12)
        refuse(#"{"a" 1}"#, "\":\"", at: 10)
        refuse(#"{"a"}"#, "\":\"", at: 9)
        refuse("{a:1}", "a string", at: 6)
        refuse("{1:1}", "a string", at: 6)
    }

    @Test("no cut of a JSON text is a JSON text")
    func cuts() throws {
        let json =
            #"{"weight_map":{"é\n":"a/b"},"x":[1.5e3,-2,{"y":null}],"z":true,"metadata":{"total_size":12}}"#
        let bytes = Array(json.utf8)
        _ = try SafetensorsIndex.parse(name: fileName, bytes: bytes)
        for count in 0..<bytes.count {
            let error = #expect(throws: FormatError.self) {
                try SafetensorsIndex.parse(name: fileName, bytes: Array(bytes[..<count]))
            }
            #expect(error?.file == fileName)
            #expect(error.map { $0.offset <= count } == true, "\(count)")
        }
    }
}
