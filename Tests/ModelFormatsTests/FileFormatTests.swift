import ModelFormats
import Testing

@Suite("Formats of files")
struct FileFormatTests {
    @Test(
        "the extension determines the format",
        arguments: [
            ("model.safetensors", .safetensors), ("a/b/model-00001-of-00002.safetensors", .safetensors),
            ("M.GGUF", .gguf), ("m.q4_k.gguf", .gguf), ("/abs/m.SafeTensors", .safetensors),
            (".hidden.gguf", .gguf), ("é.gguf", .gguf), ("..gguf", .gguf),
            ("", .other), ("/", .other), ("gguf", .other), (".gguf", .other), ("a/.safetensors", .other),
            ("m.gguf/", .other), ("dir.gguf/config.json", .other), ("m.gguf.part", .other),
            ("m.gguf ", .other),
            ("m.", .other), ("m.bin", .other), ("model.safetensors.index.json", .other), ("mgguf", .other),
        ] as [(String, FileFormat)])
    func extensions(path: String, format: FileFormat) {
        #expect(FileFormat(path: path) == format)
    }

    @Test("a file of another format has no tensors and is not read")
    func otherFormat() throws {
        let source = MeteredSource(SafetensorsFile("{}").bytes)
        let layout = try FileLayout.read(source, format: .other)
        #expect(layout == FileLayout(format: .other, bytes: 10, tensors: [], metadata: [:]))
        #expect(source.reads == 0)
    }

    @Test("memory is read inside its bounds only")
    func memoryBounds() throws {
        let source = MemorySource(name: fileName, bytes: [1, 2, 3, 4])
        try withUnsafeTemporaryAllocation(byteCount: 2, alignment: 1) { buffer in
            try source.read(at: 2, into: buffer)
            #expect(Array(buffer) == [3, 4])
            for (offset, found) in [(3, 1), (4, 0), (5, 0), (.max, 0), (-1, 4)] {
                expectRefusal(.cutShort(expected: 2, found: found), at: offset) {
                    try source.read(at: offset, into: buffer)
                }
            }
            try source.read(at: 4, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<0]))
        }
    }

    @Test("sizes are in whole blocks and whole bytes")
    func elementSizes() throws {
        let half = try #require(ElementType.safetensors["F4"])
        #expect(half.byteCount(elements: 2) == 1)
        #expect(half.byteCount(elements: 3) == nil)
        #expect(half.bitCount(elements: 3) == 12)
        let block = try #require(ElementType.ggml[12])
        #expect(block.byteCount(elements: 512) == 288)
        #expect(block.byteCount(elements: 511) == nil)
        #expect(block.byteCount(elements: -256) == nil)
        #expect(half.byteCount(elements: .max - 1) == nil)
        #expect(ElementType.elementCount(shape: []) == 1)
        #expect(ElementType.elementCount(shape: [0, -1]) == nil)
        #expect(ElementType.elementCount(shape: [0, .max, .max]) == 0)
    }
}
