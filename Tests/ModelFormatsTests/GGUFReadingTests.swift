import ModelFormats
import Testing

@Suite("Reading GGUF")
struct GGUFReadingTests {
    /// Every type: number, name, elements and bytes of a block.
    static let types: [(UInt32, String, Int, Int)] = [
        (0, "F32", 1, 4), (1, "F16", 1, 2), (2, "Q4_0", 32, 18), (3, "Q4_1", 32, 20), (6, "Q5_0", 32, 22),
        (7, "Q5_1", 32, 24), (8, "Q8_0", 32, 34), (9, "Q8_1", 32, 40), (10, "Q2_K", 256, 84),
        (11, "Q3_K", 256, 110), (12, "Q4_K", 256, 144), (13, "Q5_K", 256, 176), (14, "Q6_K", 256, 210),
        (15, "Q8_K", 256, 292), (16, "IQ2_XXS", 256, 66), (17, "IQ2_XS", 256, 74), (18, "IQ3_XXS", 256, 98),
        (19, "IQ1_S", 256, 50), (20, "IQ4_NL", 32, 18), (21, "IQ3_S", 256, 110), (22, "IQ2_S", 256, 82),
        (23, "IQ4_XS", 256, 136), (24, "I8", 1, 1), (25, "I16", 1, 2), (26, "I32", 1, 4), (27, "I64", 1, 8),
        (28, "F64", 1, 8), (29, "IQ1_M", 256, 56), (30, "BF16", 1, 2), (34, "TQ1_0", 256, 54),
        (35, "TQ2_0", 256, 66), (39, "MXFP4", 32, 17), (40, "NVFP4", 64, 36), (41, "Q1_0", 128, 18),
        (42, "Q2_0", 64, 18),
    ]

    @Test("every type has its size", arguments: types)
    func everyType(number: UInt32, name: String, elements: Int, bytes: Int) throws {
        let file = GGUFBuilder(
            tensors: [.init(name: "t", type: number, shape: [UInt64(elements) * 2, 3], bytes: bytes * 6)]
        ).build()
        let tensor = TensorInfo(
            name: "t", dtype: name, shape: [elements * 2, 3], offset: file.dataStart, bytes: bytes * 6)
        #expect(try file.read().tensors == [tensor])
    }

    @Test("the types of ggml are known, and no others")
    func noOtherType() {
        #expect(ElementType.ggml.keys.sorted() == Self.types.map(\.0))
    }

    @Test("versions 2 and 3 are read", arguments: [2, 3] as [UInt32])
    func versions(version: UInt32) throws {
        let file = GGUFBuilder(
            version: version,
            metadata: [("general.architecture", .string("llama"))],
            tensors: [
                .init(name: "b", type: 0, shape: [5]), .init(name: "a", type: 8, shape: [64, 2]),
                .init(name: "c", type: 24, shape: []),
            ]
        ).build()
        let layout = try file.read()
        #expect(layout.format == .gguf)
        #expect(layout.bytes == file.bytes.count)
        #expect(layout.metadata == ["general.architecture": "llama"])
        #expect(
            layout.tensors == [
                TensorInfo(name: "b", dtype: "F32", shape: [5], offset: file.dataStart, bytes: 20),
                TensorInfo(
                    name: "a", dtype: "Q8_0", shape: [64, 2], offset: file.dataStart + 32, bytes: 136),
                TensorInfo(name: "c", dtype: "I8", shape: [], offset: file.dataStart + 192, bytes: 1),
            ])
    }

    @Test("data is aligned as general.alignment says", arguments: [1, 8, 32, 64, 4096] as [UInt32])
    func alignment(value: UInt32) throws {
        let file = GGUFBuilder(
            metadata: [("general.alignment", .uint32(value))],
            tensors: [.init(name: "a", shape: [3]), .init(name: "b", shape: [3])], alignment: Int(value)
        ).build()
        let layout = try file.read()
        #expect(layout.metadata == ["general.alignment": "\(value)"])
        let second = (12 + Int(value) - 1) / Int(value) * Int(value)
        #expect(layout.tensors.map(\.offset) == [file.dataStart, file.dataStart + second])
        #expect(file.dataStart.isMultiple(of: Int(value)))
    }

    @Test("values of every type are returned as text")
    func values() throws {
        let layout = try GGUFBuilder(metadata: [
            ("u8", .uint8(255)), ("i8", .int8(-128)), ("u16", .uint16(65535)), ("i16", .int16(-32768)),
            ("u32", .uint32(.max)), ("i32", .int32(.min)), ("f32", .float32(1e-5)), ("yes", .bool(true)),
            ("no", .bool(false)), ("text", .string("né\n")), ("u64", .uint64(.max)), ("i64", .int64(.min)),
            ("f64", .float64(-0.1)), ("nan", .float32(.nan)), ("two", .raw(7, [2])),
        ]).read()
        #expect(
            layout.metadata == [
                "u8": "255", "i8": "-128", "u16": "65535", "i16": "-32768", "u32": "4294967295",
                "i32": "-2147483648", "f32": "1e-05", "yes": "true", "no": "false", "text": "né\n",
                "u64": "18446744073709551615", "i64": "-9223372036854775808", "f64": "-0.1", "nan": "nan",
                "two": "true",
            ])
    }

    @Test("an array is returned as its count and type, and the fields after it are read")
    func arrays() throws {
        let nested = GGUFBuilder.Value.array(
            9, [.array(4, [.uint32(1), .uint32(2)]), .array(8, [.string("x")]), .array(0, [])])
        let layout = try GGUFBuilder(metadata: [
            ("numbers", .array(5, [.int32(1), .int32(-1), .int32(0)])),
            ("strings", .array(8, [.string(""), .string("né")])),
            ("empty", .array(12, [])), ("bools", .array(7, [.bool(true)])), ("nested", nested),
            ("last", .uint8(7)),
        ]).read()
        #expect(
            layout.metadata == [
                "numbers": "[3 × int32]", "strings": "[2 × string]", "empty": "[0 × float64]",
                "bools": "[1 × bool]", "nested": "[3 × array]", "last": "7",
            ])
    }

    @Test("metadata is read whole: each value with its type, and every element of an array")
    func wholeMetadata() throws {
        let long = String(repeating: "x", count: 3 << 20)
        let file = GGUFBuilder(
            metadata: [
                ("u32", .uint32(0x0102_0304)), ("yes", .bool(true)), ("text", .string("né")),
                ("strings", .array(8, [.string(""), .string("né"), .string("b")])), ("long", .string(long)),
                ("numbers", .array(5, (0..<500_000).map { .int32(Int32($0)) })),
                ("nested", .array(9, [.array(0, [.uint8(1), .uint8(2)]), .array(8, [])])), ("empty", .array(12, [])),
            ], tensors: [.init(name: "a", shape: [3])]
        ).build()
        let metadata = try GGUF.readMetadata(MemorySource(name: "model.gguf", bytes: file.bytes))
        #expect(metadata.map(\.key) == ["u32", "yes", "text", "strings", "long", "numbers", "nested", "empty"])
        let numbers = (0..<500_000 as Range<UInt32>).flatMap { number in
            (0..<4 as Range<UInt32>).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
        }
        let expected = [
            GGUFValue(type: "uint32", count: nil, elements: .numbers([4, 3, 2, 1])),
            GGUFValue(type: "bool", count: nil, elements: .numbers([1])),
            GGUFValue(type: "string", count: nil, elements: .strings(Array("né".utf8), ends: [3])),
            GGUFValue(type: "string", count: 3, elements: .strings(Array("néb".utf8), ends: [0, 3, 4])),
            GGUFValue(type: "string", count: nil, elements: .strings(Array(long.utf8), ends: [long.utf8.count])),
            GGUFValue(type: "int32", count: 500_000, elements: .numbers(numbers)),
            GGUFValue(
                type: "array", count: 2,
                elements: .arrays([
                    GGUFValue(type: "uint8", count: 2, elements: .numbers([1, 2])),
                    GGUFValue(type: "string", count: 0, elements: .strings([], ends: [])),
                ])),
            GGUFValue(type: "float64", count: 0, elements: .numbers([])),
        ]
        #expect(metadata.count == expected.count)
        for (found, value) in zip(metadata, expected) { #expect(found.value == value, "\(found.key)") }
        let cut = MemorySource(name: "model.gguf", bytes: Array(file.bytes.prefix(file.bytes.count / 2)))
        #expect(throws: FormatError.self) { try GGUF.readMetadata(cut) }
    }

    @Test("arrays nest 8 deep")
    func nestedArrays() throws {
        var value = GGUFBuilder.Value.array(0, [.uint8(1)])
        for _ in 1..<8 { value = .array(9, [value]) }
        #expect(try GGUFBuilder(metadata: [("a", value)]).read().metadata == ["a": "[1 × array]"])
    }

    @Test("a long string is cut off at a character")
    func longStrings() throws {
        let layout = try GGUFBuilder(metadata: [
            ("exact", .string(String(repeating: "a", count: 4096))),
            ("long", .string(String(repeating: "a", count: 4097))),
            ("split", .string("a" + String(repeating: "é", count: 4096))),
            ("next", .uint8(1)),
        ]).read()
        #expect(layout.metadata["exact"] == String(repeating: "a", count: 4096))
        #expect(layout.metadata["long"] == String(repeating: "a", count: 4096) + "…")
        #expect(layout.metadata["split"] == "a" + String(repeating: "é", count: 2047) + "…")
        #expect(layout.metadata["next"] == "1")
    }

    @Test("bytes of a metadata string that are not UTF-8 are replaced")
    func invalidUTF8() throws {
        let value = GGUFBuilder.Value.raw(8, littleEndian(2 as UInt64) + [0x61, 0xFF])
        #expect(try GGUFBuilder(metadata: [("a", value)]).read().metadata == ["a": "a\u{FFFD}"])
    }

    @Test("a file may have no tensors, and then needs no padding")
    func noTensors() throws {
        #expect(try GGUFBuilder().read() == FileLayout(format: .gguf, bytes: 24, tensors: [], metadata: [:]))
        #expect(try GGUFBuilder(metadata: [("k", .uint8(1))]).read().tensors.isEmpty)
    }

    @Test("the last tensor may lack its padding, and bytes may follow it")
    func end() throws {
        var builder = GGUFBuilder(tensors: [.init(name: "t", shape: [3])], padsEnd: false)
        #expect(try builder.read().tensors.first?.bytes == 12)
        builder.tensors[0].bytes = 100
        #expect(try builder.read().tensors.first?.bytes == 12)
    }

    @Test("a tensor with a dimension of 0 has no bytes and shares its offset with the next")
    func emptyTensors() throws {
        let file = GGUFBuilder(tensors: [
            .init(name: "b", shape: [4]), .init(name: "z", shape: [0]),
            .init(name: "y", type: 12, shape: [0, 3]),
            .init(name: "a", shape: [4]),
        ]).build()
        let tensors = try file.read().tensors
        #expect(tensors.map(\.name) == ["b", "a", "y", "z"])
        #expect(tensors.map { $0.offset - file.dataStart } == [0, 32, 32, 32])
        #expect(tensors.map(\.bytes) == [16, 16, 0, 0])
    }

    @Test("a name may have 65535 bytes")
    func longNames() throws {
        let name = String(repeating: "n", count: 65_535)
        let layout = try GGUFBuilder(
            metadata: [(name, .uint8(1))], tensors: [.init(name: name, shape: [1])]
        ).read()
        #expect(layout.tensors.map(\.name) == [name])
        #expect(Array(layout.metadata.keys) == [name])
    }

    @Test("a header longer than the window is read through it")
    func window() throws {
        let tokens = (0..<60_000).map { GGUFBuilder.Value.string("token number \($0)") }
        let file = GGUFBuilder(
            metadata: [
                ("skipped", .array(4, Array(repeating: .uint32(1), count: 600_000))),
                ("tokens", .array(8, tokens)), ("k", .string("v")),
            ],
            tensors: (0..<40).map { .init(name: String(repeating: "n", count: 40_000) + "\($0)", shape: [1]) }
        ).build()
        #expect(file.headerEnd > 5 << 20)
        let source = MeteredSource(file.bytes)
        let layout = try FileLayout.read(source, format: .gguf)
        #expect(layout.tensors.count == 40)
        #expect(layout.metadata["k"] == "v")
        #expect(source.largestRead <= 1 << 20)
        #expect(source.reads < 10)
    }

    @Test("fields that lie across the end of a window are read")
    func windowEnd() throws {
        for shift in 50..<180 {
            let builder = GGUFBuilder(
                metadata: [
                    (
                        "skipped",
                        .raw(
                            9,
                            littleEndian(0 as UInt32) + littleEndian(UInt64(1 << 20 - shift))
                                + [UInt8](repeating: 0, count: 1 << 20 - shift))
                    ),
                    ("number", .uint64(0x0102_0304_0506_0708)), ("text", .string("abc")),
                ],
                tensors: [.init(name: "tensor", type: 24, shape: [3, 5])])
            let layout = try builder.read()
            #expect(layout.metadata["number"] == "72623859790382856", "\(shift)")
            #expect(layout.metadata["text"] == "abc", "\(shift)")
            #expect(layout.tensors.map(\.shape) == [[3, 5]], "\(shift)")
        }
    }

    @Test("data is not read")
    func onlyTheHeader() throws {
        let bytes = GGUFBuilder(tensors: [.init(name: "t", shape: [1 << 38], bytes: 0)]).build().bytes
        let source = MeteredSource(bytes, count: bytes.count + 1 << 40)
        #expect(try FileLayout.read(source, format: .gguf).tensors.first?.bytes == 1 << 40)
        #expect(source.reads == 1)
    }
}
