import ModelFormats
import Testing

@Suite("Reading safetensors")
struct SafetensorsReadingTests {
    /// Every type of the format with its size in bits.
    static let types: [(String, Int)] = [
        ("BOOL", 8), ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("U8", 8), ("I8", 8), ("F8_E5M2", 8),
        ("F8_E4M3", 8), ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8), ("I16", 16), ("U16", 16),
        ("F16", 16), ("BF16", 16), ("I32", 32), ("U32", 32), ("F32", 32), ("C64", 64), ("F64", 64),
        ("I64", 64), ("U64", 64),
    ]

    @Test("every type of the format has its size", arguments: types)
    func everyType(name: String, bits: Int) throws {
        let bytes = 4 * 6 * bits / 8
        let file = SafetensorsFile(
            #"{"t":{"dtype":"\#(name)","shape":[4,6],"data_offsets":[0,\#(bytes)]}}"#, data: bytes)
        let tensor = TensorInfo(
            name: "t", dtype: name, shape: [4, 6], offset: 8 + file.header.count, bytes: bytes)
        #expect(try file.read().tensors == [tensor])
    }

    @Test("the types of the format are known, and no others")
    func noOtherType() {
        #expect(Set(ElementType.safetensors.keys) == Set(Self.types.map(\.0)))
    }

    @Test("tensors are sorted by offset, with offsets from the start of the file")
    func sortedByOffset() throws {
        let file = SafetensorsFile(
            """
            {"z":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},\
            "a":{"dtype":"F16","shape":[2,2],"data_offsets":[3,11]},\
            "m":{"dtype":"U8","shape":[],"data_offsets":[11,12]}}
            """, data: 12)
        let layout = try file.read()
        let start = 8 + file.header.count
        #expect(layout.format == .safetensors)
        #expect(layout.bytes == start + 12)
        #expect(layout.metadata.isEmpty)
        #expect(
            layout.tensors == [
                TensorInfo(name: "z", dtype: "U8", shape: [3], offset: start, bytes: 3),
                TensorInfo(name: "a", dtype: "F16", shape: [2, 2], offset: start + 3, bytes: 8),
                TensorInfo(name: "m", dtype: "U8", shape: [], offset: start + 11, bytes: 1),
            ])
    }

    @Test("a header names tensors in any order")
    func anyOrder() throws {
        let file = SafetensorsFile(
            """
            {"b":{"data_offsets":[4,8],"shape":[1],"dtype":"F32"},\
            "a":{"shape":[1],"dtype":"F32","data_offsets":[0,4]}}
            """, data: 8)
        #expect(try file.read().tensors.map(\.name) == ["a", "b"])
    }

    @Test("metadata is kept, and null stands for none")
    func metadata() throws {
        #expect(
            try SafetensorsFile(#"{"__metadata__":{"a":"1","b":""}}"#).read().metadata == ["a": "1", "b": ""])
        #expect(try SafetensorsFile(#"{"__metadata__":null}"#).read().metadata == [:])
        #expect(try SafetensorsFile(#"{"__metadata__":{}}"#).read().metadata == [:])
    }

    @Test("a file may have no tensors", arguments: ["{}", "{}      ", "{ }\n\t\r "])
    func noTensors(json: String) throws {
        #expect(try SafetensorsFile(json).read().tensors.isEmpty)
    }

    @Test("a tensor with a dimension of 0 has no bytes and shares its offset with the next")
    func emptyTensors() throws {
        let file = SafetensorsFile(
            """
            {"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},\
            "b":{"dtype":"F32","shape":[0],"data_offsets":[2,2]},\
            "a":{"dtype":"F4","shape":[2,0,9223372036854775807],"data_offsets":[0,0]},\
            "y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}
            """, data: 3)
        let tensors = try file.read().tensors
        #expect(tensors.map(\.name) == ["a", "x", "b", "y"])
        #expect(tensors.map(\.bytes) == [0, 2, 0, 1])
    }

    @Test("64 dimensions are read")
    func manyDimensions() throws {
        let ones = Array(repeating: "1", count: 64).joined(separator: ",")
        let file = SafetensorsFile(#"{"t":{"dtype":"U8","shape":[\#(ones)],"data_offsets":[0,1]}}"#, data: 1)
        #expect(try file.read().tensors.first?.shape.count == 64)
    }

    @Test("fields that the format does not name are skipped")
    func unknownFields() throws {
        let file = SafetensorsFile(
            """
            {"t":{"dtype":"U8","x":[{"y":[true,false,null,-1.5e+3,0,"\\u00e9"]},[]],"shape":[1],"z":{},\
            "data_offsets":[0,1]}}
            """, data: 1)
        #expect(try file.read().tensors.map(\.name) == ["t"])
    }

    @Test("only the header is read, in two reads")
    func twoReads() throws {
        let bytes = SafetensorsFile(
            #"{"t":{"dtype":"U8","shape":[1099511627776],"data_offsets":[0,1099511627776]}}"#
        ).bytes
        let source = MeteredSource(bytes, count: bytes.count + 1 << 40)
        let layout = try FileLayout.read(source, format: .safetensors)
        #expect(layout.tensors.first?.bytes == 1 << 40)
        #expect(source.reads == 2)
        #expect(source.largestRead == bytes.count - 8)
    }

    @Test("errors of the source pass through")
    func sourceErrors() {
        struct Unreadable: ByteSource, Error {
            var name: String { "x" }
            var count: Int { 100 }
            func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws { throw self }
        }
        for format in [FileFormat.safetensors, .gguf] {
            #expect(throws: Unreadable.self) { try FileLayout.read(Unreadable(), format: format) }
        }
    }
}
