import ModelFormats
import Testing

@Suite("The index of sharded safetensors")
struct SafetensorsIndexTests {
    private func parse(_ json: String) throws -> SafetensorsIndex {
        try SafetensorsIndex.parse(name: fileName, bytes: Array(json.utf8))
    }

    @Test("an index maps tensors to files")
    func map() throws {
        let index = try parse(
            """
            {
              "metadata": {"total_parameters": 8, "total_size": 64},
              "weight_map": {
                "b": "model-00002-of-00002.safetensors",
                "c": "unet/model-00001-of-00002.safetensors",
                "a": "model-00002-of-00002.safetensors"
              },
              "other": [1, {}]
            }

            """)
        #expect(index.name == fileName)
        #expect(
            index.weightMap == [
                .init(tensor: "b", file: "model-00002-of-00002.safetensors"),
                .init(tensor: "c", file: "unet/model-00001-of-00002.safetensors"),
                .init(tensor: "a", file: "model-00002-of-00002.safetensors"),
            ])
        #expect(index.files == ["model-00002-of-00002.safetensors", "unet/model-00001-of-00002.safetensors"])
        #expect(index.totalBytes == 64)
    }

    @Test(
        "the total size may be missing, null or a whole float",
        arguments: [
            ("", nil), (#""metadata":null,"#, nil), (#""metadata":{},"#, nil),
            (#""metadata":{"total_size":null},"#, nil), (#""metadata":{"total_size":0},"#, 0),
            (#""metadata":{"total_size":123.0},"#, 123),
            (#""metadata":{"total_size":1.6e10},"#, 16_000_000_000),
        ] as [(String, Int?)])
    func totalSize(metadata: String, expected: Int?) throws {
        #expect(try parse("{\(metadata)\"weight_map\":{}}").totalBytes == expected)
    }

    @Test(
        "a total size that is no size is refused", arguments: ["-1", "1.5", "1e300", "9223372036854775808"])
    func badTotalSize(number: String) {
        expectRefusal(.json(.expected("a nonnegative integer")), at: 26) {
            try parse(#"{"metadata":{"total_size":\#(number)},"weight_map":{}}"#)
        }
    }

    @Test(
        "a file name is a plain relative path",
        arguments: [
            "", "/", "/etc/passwd", "..", ".", "../x", "a/../b", "a/./b", "a//b", "a/", "./a", #"a\u0000b"#,
        ])
    func unsafePaths(path: String) throws {
        let json = #"{"weight_map":{"a":"ok","t":"\#(path)"}}"#
        let name = path.replacing(#"\u0000"#, with: "\0")
        expectRefusal(.unsafeFileName(name), tensor: "t", at: 28) { try parse(json) }
    }

    @Test("dots that are part of a name are allowed", arguments: ["...", "a..b", ".a", "a.", "..a/b.."])
    func safePaths(path: String) throws {
        #expect(try parse(#"{"weight_map":{"t":"\#(path)"}}"#).files == [path])
    }

    @Test("a key that appears twice is refused")
    func duplicates() {
        expectRefusal(.duplicateName("t"), tensor: "t", at: 23) {
            try parse(#"{"weight_map":{"t":"a","\u0074":"b"}}"#)
        }
        expectRefusal(.duplicateName("weight_map"), at: 17) {
            try parse(#"{"weight_map":{},"weight_map":{}}"#)
        }
        expectRefusal(.duplicateName("x"), at: 7) { try parse(#"{"x":1,"x":2,"weight_map":{}}"#) }
        expectRefusal(.duplicateName("total_size"), at: 29) {
            try parse(#"{"metadata":{"total_size":1, "total_size":1},"weight_map":{}}"#)
        }
    }

    @Test("an index has a map, and the map has strings")
    func kinds() {
        expectRefusal(.missingField("weight_map"), at: 0) { try parse(#"{"metadata":{}}"#) }
        expectRefusal(.json(.expected("an object")), at: 0) { try parse("[]") }
        expectRefusal(.json(.expected("an object")), at: 0) { try parse("") }
        expectRefusal(.json(.expected("an object")), at: 14) { try parse(#"{"weight_map":null}"#) }
        expectRefusal(.json(.expected("a string")), at: 19) { try parse(#"{"weight_map":{"t":1}}"#) }
        expectRefusal(.json(.expected("an object")), at: 12) { try parse(#"{"metadata":1}"#) }
        expectRefusal(.json(.expected("the end of the JSON text")), at: 17) {
            try parse(#"{"weight_map":{}}x"#)
        }
    }

    private func layout(_ names: String...) -> FileLayout {
        let tensors = names.map { TensorInfo(name: $0, dtype: "U8", shape: [0], offset: 8, bytes: 0) }
        return FileLayout(format: .safetensors, bytes: 8, tensors: tensors, metadata: [:])
    }

    @Test("an index is checked against its files")
    func check() throws {
        let index = try parse(#"{"weight_map":{"a":"1","b":"2","c":"1"}}"#)
        #expect(try index.check(["1": layout("a", "c", "unnamed"), "2": layout("b"), "3": layout("x")]).isEmpty)
        expectRefusal(.missingFile("2"), at: 0) { try index.check(["1": layout("a", "c")]) }
        // Engines may find the tensor elsewhere, or not need it.
        let elsewhere = try index.check(["1": layout("b"), "2": layout("a", "b", "c")])
        #expect(elsewhere.map(\.tensor) == ["a", "c"])
        #expect(elsewhere.map(\.problem) == [.tensorNotInFile("1"), .tensorNotInFile("1")])
        let nowhere = try index.check(["1": layout("a", "c"), "2": layout()])
        #expect(nowhere.map(\.problem) == [.tensorNotInFile("2")])
    }
}
