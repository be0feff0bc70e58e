import ModelFormats
import Testing

/// Every proper prefix of a valid file is refused.
@Suite("Files cut short")
struct CutShortTests {
    @Test("safetensors cut at any byte is refused, with how much is missing")
    func safetensors() throws {
        let writer = try SafetensorsWriter(
            [
                .init(name: "model.layers.0.q", dtype: "BF16", shape: [4, 8]),
                .init(name: "norm\né", dtype: "F32", shape: [3]),
                .init(name: "empty", dtype: "F4", shape: [0]),
            ], metadata: ["format": "pt"])
        let header = writer.header.count
        let bytes = writer.header + [UInt8](repeating: 7, count: writer.fileBytes - header)
        #expect(try layout(of: bytes, format: .safetensors).tensors.count == 3)
        for count in 0..<bytes.count {
            let (offset, problem): (Int, FormatError.Problem) =
                switch count {
                case ..<8: (0, .cutShort(expected: 8, found: count))
                case ..<header: (0, .cutShort(expected: header, found: count))
                default: (header, .dataEnd(expected: bytes.count - header, found: count - header))
                }
            expectRefusal(problem, at: offset) {
                try layout(of: Array(bytes[..<count]), format: .safetensors)
            }
        }
        // One byte more is as wrong as one less.
        expectRefusal(
            .dataEnd(expected: bytes.count - header, found: bytes.count - header + 1), at: header
        ) { try layout(of: bytes + [0], format: .safetensors) }
    }

    @Test("GGUF cut at any byte is refused, with the tensor where the cut is in data")
    func gguf() throws {
        let file = GGUFBuilder(
            metadata: [
                ("general.alignment", .uint32(16)), ("text", .string("née")),
                ("array", .array(8, [.string("a"), .string("")])),
                ("nested", .array(9, [.array(4, [.uint32(1)]), .array(0, [])])),
                ("float", .float64(1)), ("bool", .bool(true)),
            ],
            tensors: [
                .init(name: "blk.0.q", type: 12, shape: [256, 2]), .init(name: "norm", shape: [3]),
                .init(name: "last", type: 8, shape: [32]),
            ], alignment: 16, padsEnd: false
        ).build()
        #expect(try file.read().tensors.count == 3)
        for count in 0..<file.bytes.count {
            let error = #expect(throws: FormatError.self) {
                try layout(of: Array(file.bytes[..<count]), format: .gguf)
            }
            guard let error else { continue }
            #expect(error.file == fileName)
            #expect(error.offset <= count, "\(count): \(error)")
            switch error.problem {
            case .cutShort(let expected, let found): #expect(found < expected, "\(count): \(error)")
            // Counts are compared with the rest of the file.
            case .countTooLarge: #expect(count < file.headerEnd, "\(count): \(error)")
            default: Issue.record("\(count): \(error)")
            }
            if count >= file.dataStart {
                let data = count - file.dataStart
                let (name, end) = data < 288 ? ("blk.0.q", 288) : data < 300 ? ("norm", 300) : ("last", 338)
                #expect(error.problem == .cutShort(expected: end, found: data))
                #expect(error.tensor == name)
                #expect(file.tensors.contains(error.offset))
            }
        }
    }
}
