import ModelFormats
import Testing

/// Files that break a rule and are kept with a warning, and files that are something else than their names say.
@Suite("Unusual files")
struct UnusualFileTests {
    private func read(
        _ bytes: [UInt8], as path: String, _ rules: ReadingRules = ReadingRules()
    ) throws -> FileLayout {
        try FileLayout.read(MemorySource(name: fileName, bytes: bytes), path: path, rules: rules)
    }

    private let safetensors = SafetensorsFile(#"{"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, data: 4)

    // MARK: Detection

    @Test(
        "the bytes of a file decide in which format it is read, whatever its name",
        arguments: ["model.safetensors", "model.gguf", "sha256-77308ca5c40c", "weights.bin", "x.GGUF"])
    func bytesDecide(path: String) throws {
        let gguf = try read(GGUFBuilder(tensors: [.init(name: "t", shape: [4])]).build().bytes, as: path)
        #expect(gguf.format == .gguf && gguf.tensors.map(\.name) == ["t"])
        let other = try read(safetensors.bytes, as: path)
        #expect(other.format == .safetensors && other.tensors.map(\.name) == ["t"])
        #expect(gguf.warnings.isEmpty && other.warnings.isEmpty)
    }

    @Test("bytes that only resemble a format are not read in it")
    func resembling() throws {
        let length = littleEndian(40 as UInt64)
        for bytes in [
            Array("GGUF is a file format.\n".utf8), Array("GGUF".utf8), [], length + Array("{1".utf8),
            length + Array("[".utf8), littleEndian(UInt64.max) + Array("{\"".utf8),
        ] {
            #expect(FileFormat.detect(name: "README.md", head: bytes) == .other)
        }
        // The names decide where the bytes do not.
        #expect(FileFormat.detect(name: "a.safetensors", head: []) == .safetensors)
        #expect(FileFormat.detect(name: "a.gguf", head: Array("<html>".utf8)) == .gguf)
        #expect(FileFormat.detect(name: "a", head: Array("GGUF".utf8) + littleEndian(3 as UInt32).reversed()) == .gguf)
    }

    @Test("the error names what a file is instead", arguments: ["model.safetensors", "model.gguf"])
    func realCause(path: String) throws {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2097152\n"
        let cases: [([UInt8], String)] = [
            (Array(pointer.utf8), "a git-lfs pointer in place of its content (at byte 0). Run \"git lfs pull\""),
            (Array("\n<!DOCTYPE html><html><head>".utf8), "the file is an HTML page, not "),
            (Array("Entry not found".utf8), "the file is text that begins with \"Entry not found\", not "),
            (Array(#"{"error":"Repository not found"}"#.utf8), "text that begins with \"{\"error\":"),
            ([0x50, 0x4B, 0x03, 0x04] + [UInt8](repeating: 0, count: 90), "a ZIP archive"),
            ([UInt8](repeating: 0, count: 4096), "a sequence of zeros"),
        ]
        for (bytes, cause) in cases {
            let error = #expect(throws: FormatError.self) { try read(bytes, as: path) }
            #expect("\(error!)".contains(cause), "\(error!)")
            let opaque = try read(bytes, as: path, ReadingRules(keepsOpaque: true))
            #expect(opaque.format == .other && opaque.tensors.isEmpty && opaque.bytes == bytes.count)
            #expect(opaque.warnings == [error!])
        }
        // Another name promises no format; a pointer is not its content there either.
        #expect(try read(Array("Entry not found".utf8), as: "a.txt").warnings.isEmpty)
        #expect(try read(Array(pointer.utf8), as: "tokenizer.model").warnings.map(\.problem) == [.gitLFSPointer])
    }

    @Test("a file that breaks a rule of the format is kept without tensors if its reader allows it")
    func opaque() throws {
        let cut = Array(safetensors.bytes.dropLast())
        expectRefusal(.dataEnd(expected: 4, found: 3), at: cut.count - 3) { try read(cut, as: "sha256-1") }
        let kept = try read(cut, as: "sha256-1", ReadingRules(keepsOpaque: true))
        #expect(kept.format == .other && kept.warnings.map(\.problem) == [.dataEnd(expected: 4, found: 3)])
    }

    @Test(
        "a part of a file that was divided by size is kept without tensors, because its name says that it is a part",
        arguments: ["m.gguf-split-a", "sub/M.GGUF.part1", "m.gguf.00"])
    func parts(path: String) throws {
        let whole = GGUFBuilder(tensors: [.init(name: "t", shape: [64])]).build().bytes
        let part = Array(whole.dropLast(100))
        let layout = try read(part, as: path)
        #expect(layout.format == .other && layout.warnings.count == 1)
        #expect(throws: FormatError.self) { try read(part, as: path, ReadingRules(isStrict: true)) }
        for name in ["m.gguf", "gguf/sha256-1", "a.gguf/blob", "m.safetensors.part1"] {
            #expect(throws: FormatError.self, "\(name)") { try read(part, as: name) }
        }
        // One that is whole is read.
        #expect(try read(whole, as: path).tensors.count == 1)
    }

    // MARK: GGUF

    @Test("a tensor of an unknown type extends to the next offset", arguments: [36, 43, 144, .max] as [UInt32])
    func unknownTypes(number: UInt32) throws {
        let file = GGUFBuilder(tensors: [
            .init(name: "a", type: number, shape: [256, 4], bytes: 288), .init(name: "b", shape: [4]),
            .init(name: "none", type: number, shape: [0, 4]),
            .init(name: "c", type: number, shape: [256, 4], bytes: 288),
        ]).build()
        let layout = try read(file.bytes, as: "m.gguf")
        #expect(layout.tensors.map(\.name) == ["a", "b", "c", "none"])
        #expect(layout.tensors.map(\.bytes) == [288, 16, 288, 0])
        #expect(layout.tensors.map(\.dtype) == ["ggml:\(number)", "F32", "ggml:\(number)", "ggml:\(number)"])
        #expect(layout.tensors.map { $0.offset - file.dataStart } == [0, 288, 320, 320])
        // One warning for each type.
        #expect(layout.warnings.map(\.problem) == [.unknownTypeNumber(number)])
        #expect(brokenPromise(of: layout) == nil)
        expectRefusal(.unknownTypeNumber(number), tensor: "a", at: file.tensors[0]) {
            try read(file.bytes, as: "m.gguf", ReadingRules(isStrict: true))
        }
    }

    @Test("a file whose tensors all have other unknown types has 16 warnings")
    func manyUnknownTypes() throws {
        let types = (0..<40).map { UInt32(1000 + $0) }
        let tensors = types.map { GGUFBuilder.Tensor(name: "t\($0)", type: $0, shape: [32], bytes: 32) }
        let layout = try read(GGUFBuilder(tensors: tensors).build().bytes, as: "m.gguf")
        #expect(layout.tensors.count == 40)
        #expect(layout.warnings.map(\.problem) == types.prefix(16).map { FormatError.Problem.unknownTypeNumber($0) })
    }

    @Test("a file with unaligned tensors is kept with one warning")
    func unaligned() throws {
        let file = GGUFBuilder(
            tensors: [
                .init(name: "a", shape: [3]), .init(name: "b", shape: [3], offset: 12),
                .init(name: "c", shape: [1], offset: 24),
            ]
        ).build()
        let layout = try read(file.bytes, as: "m.gguf")
        #expect(layout.tensors.map { $0.offset - file.dataStart } == [0, 12, 24])
        #expect(layout.warnings.map(\.problem) == [.unaligned(alignment: 32, found: 12)])
        #expect(brokenPromise(of: layout) == nil)
        expectRefusal(.unaligned(alignment: 32, found: 12), tensor: "b", at: file.tensors[1]) {
            try read(file.bytes, as: "m.gguf", ReadingRules(isStrict: true))
        }
    }

    @Test("parts of a split file that were joined are kept without tensors", arguments: [true, false])
    func joined(padsEnd: Bool) throws {
        func part(_ number: UInt16) -> [UInt8] {
            GGUFBuilder(
                metadata: [("split.no", .uint16(number)), ("split.count", .uint16(2))],
                tensors: [.init(name: "blk.\(number).w", shape: [9])], padsEnd: padsEnd
            ).build().bytes
        }
        let layout = try read(part(0) + part(1), as: "m.gguf")
        #expect(layout.format == .other && layout.tensors.isEmpty)
        #expect(layout.warnings.map(\.problem) == [.joinedParts])
        #expect(layout.warnings[0].offset == part(0).count)
        // Other bytes may follow.
        let padded = try read(part(0) + [UInt8](repeating: 0, count: 500), as: "m.gguf")
        #expect(padded.format == .gguf && padded.warnings.isEmpty)
    }

    // MARK: Safetensors

    @Test("a header above the reference's limit is kept with a warning")
    func longHeader() throws {
        #expect(Safetensors.referenceHeaderBytes == 100_000_000)
        #expect(Safetensors.referenceHeaderBytes < Safetensors.maximumHeaderBytes)
        let source = MemorySource(name: fileName, bytes: safetensors.bytes)
        let length = safetensors.header.count
        #expect(try Safetensors.readLayout(source, warningAbove: length).warnings.isEmpty)
        let layout = try Safetensors.readLayout(source, warningAbove: length - 1)
        #expect(layout.tensors.count == 1)
        #expect(layout.warnings.map(\.problem) == [.longHeader(bytes: length, limit: length - 1)])
    }

    @Test("scalars, tensors without elements, and small types are what they are in the file")
    func shapesAndTypes() throws {
        let header = """
            {"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
            "scale":{"dtype":"F8_E8M0","shape":[3],"data_offsets":[4,7]},
            "fp4":{"dtype":"F4","shape":[2,4],"data_offsets":[7,11]},
            "none":{"dtype":"BF16","shape":[0,7],"data_offsets":[11,11]}}
            """
        let layout = try read(SafetensorsFile(header, data: 11).bytes, as: "m.safetensors")
        #expect(layout.tensors.map(\.name) == ["scalar", "scale", "fp4", "none"])
        #expect(layout.tensors.map(\.shape) == [[], [3], [2, 4], [0, 7]])
        #expect(layout.tensors.map(\.bytes) == [4, 3, 4, 0])
        #expect(layout.warnings.isEmpty)
    }
}
