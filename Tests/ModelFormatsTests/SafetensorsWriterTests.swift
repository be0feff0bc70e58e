import ModelFormats
import Testing

@Suite("Writing safetensors")
struct SafetensorsWriterTests {
    private typealias Tensor = SafetensorsWriter.Tensor

    private func text(_ writer: SafetensorsWriter) -> String {
        String(decoding: writer.header.dropFirst(8), as: UTF8.self)
    }

    @Test("the header is the one that the reference implementation writes")
    func header() throws {
        let writer = try SafetensorsWriter(
            [
                Tensor(name: "b", dtype: "F32", shape: [2, 2]), Tensor(name: "a", dtype: "F32", shape: []),
                Tensor(name: "x", dtype: "I64", shape: [1]), Tensor(name: "y", dtype: "BOOL", shape: [3]),
            ], metadata: ["format": "pt", "a": "b"])
        let json = """
            {"__metadata__":{"a":"b","format":"pt"},\
            "x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},\
            "a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},\
            "b":{"dtype":"F32","shape":[2,2],"data_offsets":[12,28]},\
            "y":{"dtype":"BOOL","shape":[3],"data_offsets":[28,31]}}
            """
        #expect(text(writer).hasPrefix(json))
        #expect(text(writer).dropFirst(json.count).allSatisfy { $0 == " " })
        #expect(writer.header.count.isMultiple(of: 8) && writer.header.count < 8 + json.utf8.count + 8)
        #expect(writer.header.prefix(8) == littleEndian(UInt64(writer.header.count - 8))[...])
        #expect(writer.fileBytes == writer.header.count + 31)
    }

    @Test("data is sorted by type from the greatest alignment to the least, then by the bytes of the name")
    func order() throws {
        let types = SafetensorsReadingTests.types.map(\.0)
        let writer = try SafetensorsWriter(
            (types + types).enumerated().map { index, type in
                Tensor(name: index < types.count ? "Z" : "a", dtype: type, shape: [4])
            }.map { Tensor(name: "\($0.name).\($0.dtype)", dtype: $0.dtype, shape: $0.shape) })
        #expect(writer.tensors.map(\.name) == types.reversed().flatMap { ["Z.\($0)", "a.\($0)"] })
        let scalars = try SafetensorsWriter(
            ["\u{1F600}", "\u{FF5E}", "z"].map { Tensor(name: $0, dtype: "U8", shape: []) })
        #expect(scalars.tensors.map(\.name) == ["z", "\u{FF5E}", "\u{1F600}"])
    }

    @Test("a file without tensors is an empty object")
    func noTensors() throws {
        let writer = try SafetensorsWriter([])
        #expect(text(writer) == "{}      ")
        #expect(writer.fileBytes == 16)
    }

    @Test("names and metadata are escaped as the reference implementation escapes them")
    func escapes() throws {
        let name = "q\"\\/\u{8}\u{C}\n\r\t\u{1}\u{1F}\u{7F}é\u{1F600}"
        let writer = try SafetensorsWriter(
            [Tensor(name: name, dtype: "U8", shape: [])], metadata: [name: name])
        let quoted = #""q\"\\/\b\f\n\r\t\u0001\u001f"# + "\u{7F}é\u{1F600}\""
        #expect(text(writer).hasPrefix("{\"__metadata__\":{\(quoted):\(quoted)},\(quoted):{"))
        let layout = try layout(of: writer.header + [0], format: .safetensors)
        #expect(layout.tensors.map(\.name) == [name])
        #expect(layout.metadata == [name: name])
    }

    @Test("input that no reader accepts is refused")
    func refusals() {
        func refuse(_ problem: FormatError.Problem, _ tensors: Tensor..., tensor: String = "t") {
            expectRefusal(problem, tensor: tensor, at: 0) { try SafetensorsWriter(file: fileName, tensors) }
        }
        let good = Tensor(name: "t", dtype: "U8", shape: [1])
        refuse(.duplicateName("t"), good, good)
        refuse(
            .duplicateName("__metadata__"), Tensor(name: "__metadata__", dtype: "U8", shape: [1]),
            tensor: "__metadata__")
        refuse(.nameWithNUL("a\0"), Tensor(name: "a\0", dtype: "U8", shape: [1]), tensor: "a\0")
        refuse(.unknownType("f32"), Tensor(name: "t", dtype: "f32", shape: [1]))
        refuse(.partialByte(bits: 12), Tensor(name: "t", dtype: "F4", shape: [3]))
        refuse(.sizeOverflow(shape: [-1]), Tensor(name: "t", dtype: "U8", shape: [-1]))
        refuse(.sizeOverflow(shape: [.max]), Tensor(name: "t", dtype: "F64", shape: [.max]))
        refuse(
            .tooManyDimensions(limit: 64),
            Tensor(name: "t", dtype: "U8", shape: Array(repeating: 1, count: 65)))
    }

    @Test("sizes that overflow only together are refused")
    func overflowTogether() {
        let tensors = (0..<9).map { Tensor(name: "t\($0)", dtype: "U8", shape: [1 << 60 - 1]) }
        expectRefusal(.sizeOverflow(shape: [1 << 60 - 1]), tensor: "t7", at: 0) {
            try SafetensorsWriter(file: fileName, tensors)
        }
    }
}
