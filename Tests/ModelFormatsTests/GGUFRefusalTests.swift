import ModelFormats
import Testing

@Suite("Refusing GGUF")
struct GGUFRefusalTests {
    /// Expects a refusal of a file with one tensor, "t".
    private func expectTensorRefusal(
        _ tensor: GGUFBuilder.Tensor, _ problem: FormatError.Problem,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let file = GGUFBuilder(tensors: [tensor]).build()
        expectRefusal(
            problem, tensor: "t", at: file.tensors[0], sourceLocation: sourceLocation, from: file.read)
    }

    // MARK: The first bytes

    @Test("a file begins with GGUF", arguments: ["FUGG", "gguf", "GGML", "ggjt", "\0\0\0\0"])
    func magic(text: String) {
        expectRefusal(.notGGUF, at: 0) { try GGUFBuilder(magic: Array(text.utf8)).read() }
    }

    @Test("other versions are refused", arguments: [0, 1, 4, 256, .max] as [UInt32])
    func versions(version: UInt32) {
        expectRefusal(.unsupportedVersion(version), at: 4) { try GGUFBuilder(version: version).read() }
    }

    @Test("big-endian files are refused", arguments: [1, 2, 3] as [UInt32])
    func bigEndian(version: UInt32) {
        expectRefusal(.bigEndian, at: 4) { try GGUFBuilder(version: version.byteSwapped).read() }
    }

    // MARK: Counts and lengths

    private static let hostile: [UInt64] = [1 << 20, 1 << 31, 1 << 32, 1 << 61, 1 << 63 - 1, 1 << 63, .max]

    @Test("more tensors or keys than the file could hold are refused", arguments: hostile)
    func counts(count: UInt64) {
        expectRefusal(.countTooLarge(of: "tensors", count: count, limit: 0), at: 8) {
            try GGUFBuilder(tensorCount: count).read()
        }
        expectRefusal(.countTooLarge(of: "metadata keys", count: count, limit: 0), at: 16) {
            try GGUFBuilder(keyCount: count).read()
        }
    }

    @Test("one more than the file could hold is refused")
    func countsByOne() {
        expectRefusal(.countTooLarge(of: "tensors", count: 1, limit: 0), at: 8) {
            try GGUFBuilder(tensorCount: 1, metadata: [("k", .uint8(1))], tensors: []).read()
        }
        expectRefusal(.countTooLarge(of: "metadata keys", count: 1, limit: 0), at: 16) {
            try GGUFBuilder(keyCount: 1).read()
        }
        // The least key takes 14 bytes, the least tensor 24.
        let key = GGUFBuilder(keyCount: 2, metadata: [("k", .uint8(1))]).build()
        expectRefusal(.countTooLarge(of: "metadata keys", count: 2, limit: 1), at: 16, from: key.read)
    }

    @Test("a file with fewer entries than its count is cut short")
    func countsBeyond() {
        var builder = GGUFBuilder(metadata: [("k", .string("0123456789"))])
        builder.keyCount = 2
        let file = builder.build()
        expectRefusal(.cutShort(expected: 8, found: 0), at: file.bytes.count, from: file.read)
    }

    @Test("more array elements than the file could hold are refused", arguments: hostile)
    func arrayCounts(count: UInt64) {
        for (type, bytes) in [(0, 1), (4, 4), (12, 8), (8, 8), (9, 12)] as [(UInt32, Int)] {
            let value = littleEndian(type) + littleEndian(count) + [UInt8](repeating: 0, count: 100)
            let file = GGUFBuilder(metadata: [("key", .raw(9, value))]).build()
            expectRefusal(
                .countTooLarge(of: "array elements", count: count, limit: 100 / bytes),
                at: file.keys[0] + 11 + 4 + 4, from: file.read)
        }
    }

    @Test("strings longer than the file are cut short", arguments: hostile)
    func strings(length: UInt64) {
        let bytes = littleEndian(length) + [UInt8](repeating: 0x61, count: 5000)
        let value = GGUFBuilder(metadata: [("key", .raw(8, bytes))]).build()
        let expected = Int(clamping: length)
        let end = value.bytes.count
        expectRefusal(.cutShort(expected: expected, found: 5000), at: end - 5000, from: value.read)
        let element = GGUFBuilder(
            metadata: [("key", .raw(9, littleEndian(8 as UInt32) + littleEndian(1 as UInt64) + bytes))]
        ).build()
        expectRefusal(
            .cutShort(expected: expected, found: 5000), at: element.bytes.count - 5000, from: element.read)
    }

    @Test("names above 65535 bytes are refused before they are read", arguments: hostile + [65_536])
    func longNames(length: UInt64) {
        let start = Array("GGUF".utf8) + littleEndian(3 as UInt32)
        let name = littleEndian(length)
        for (counts, claimed) in [([1, 0], 1 << 20), ([0, 1], .max)] as [([UInt64], Int)] {
            let source = MeteredSource(start + counts.flatMap { littleEndian($0) } + name, count: claimed)
            expectRefusal(.stringTooLong(bytes: length, limit: 65_535), at: 24) {
                try FileLayout.read(source, format: .gguf)
            }
            #expect(source.largestRead <= 1 << 20)
        }
    }

    @Test("a header above 1 GiB is refused")
    func headerTooLong() {
        let bytes = GGUFBuilder(metadata: [
            ("key", .raw(8, littleEndian(2 << 30 as UInt64)))
        ]).build().bytes
        let source = MeteredSource(bytes, count: 1 << 40)
        expectRefusal(.headerTooLong(bytes: UInt64(bytes.count) + 2 << 30, limit: 1 << 30), at: bytes.count) {
            try FileLayout.read(source, format: .gguf)
        }
        #expect(source.largestRead <= 1 << 20)
    }

    // MARK: Metadata

    @Test("a key has a name")
    func emptyKey() {
        let file = GGUFBuilder(metadata: [("a", .uint8(1)), ("", .uint32(1))]).build()
        expectRefusal(.emptyKey, at: file.keys[1], from: file.read)
    }

    @Test("a key that appears twice is refused")
    func duplicateKey() {
        for key in ["a", "general.alignment"] {
            let file = GGUFBuilder(metadata: [(key, .uint32(32)), (key, .uint32(32))]).build()
            expectRefusal(.duplicateName(key), at: file.keys[1], from: file.read)
        }
    }

    @Test("a value type that the format does not have is refused", arguments: [13, 255, .max] as [UInt32])
    func valueTypes(type: UInt32) {
        let file = GGUFBuilder(metadata: [("key", .raw(type, [0, 0, 0, 0]))]).build()
        expectRefusal(.unknownValueType(type), at: file.keys[0] + 11, from: file.read)
        let array = GGUFBuilder(metadata: [("key", .array(type, []))]).build()
        expectRefusal(.unknownValueType(type), at: array.keys[0] + 15, from: array.read)
    }

    @Test("arrays that nest more than 8 deep are refused", arguments: [9, 10, 10_000])
    func deepArrays(depth: Int) {
        let one = littleEndian(9 as UInt32) + littleEndian(1 as UInt64)
        let value = (0..<depth).flatMap { _ in one }
        let file = GGUFBuilder(metadata: [("key", .raw(9, value + [UInt8](repeating: 0, count: 12)))]).build()
        expectRefusal(.arraysTooDeep(limit: 8), at: file.keys[0] + 15 + 8 * 12, from: file.read)
    }

    @Test("general.alignment is a uint32")
    func alignmentType() {
        let values: [(GGUFBuilder.Value, String)] = [
            (.uint64(32), "uint64"), (.int32(32), "int32"), (.string("32"), "string"),
            (.array(4, [.uint32(32)]), "array"),
        ]
        for (value, name) in values {
            let file = GGUFBuilder(metadata: [("general.alignment", value)]).build()
            expectRefusal(.alignmentType(name), at: file.keys[0] + 8 + 17 + 4, from: file.read)
        }
    }

    @Test("general.alignment is a power of two", arguments: [0, 3, 33, 96, .max] as [UInt32])
    func alignmentValue(value: UInt32) {
        let file = GGUFBuilder(metadata: [("general.alignment", .uint32(value))]).build()
        expectRefusal(.alignmentValue(value), at: file.keys[0] + 8 + 17 + 4, from: file.read)
    }

    // MARK: Names

    @Test(
        "a name that is not UTF-8 is refused",
        arguments: [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80]] as [[UInt8]])
    func invalidUTF8(name: [UInt8]) {
        // A placeholder of the same length stands in until the file is built.
        let placeholder = String(repeating: "x", count: name.count)
        var key = GGUFBuilder(metadata: [(placeholder, .uint32(0))]).build()
        key.bytes.replaceSubrange(key.keys[0] + 8..<key.keys[0] + 8 + name.count, with: name)
        expectRefusal(.invalidUTF8, at: key.keys[0], from: key.read)
        var tensor = GGUFBuilder(tensors: [.init(name: placeholder, shape: [1])]).build()
        tensor.bytes.replaceSubrange(tensor.tensors[0] + 8..<tensor.tensors[0] + 8 + name.count, with: name)
        expectRefusal(.invalidUTF8, at: tensor.tensors[0], from: tensor.read)
    }

    @Test("a tensor that appears twice is refused")
    func duplicateTensor() {
        let file = GGUFBuilder(tensors: [
            .init(name: "t", shape: [1]), .init(name: "u", shape: [1]), .init(name: "t", shape: [2]),
        ]).build()
        expectRefusal(.duplicateName("t"), tensor: "t", at: file.tensors[2], from: file.read)
    }

    // MARK: Shapes and types

    @Test("a tensor has at most 4 dimensions", arguments: [5, 6, 100])
    func dimensions(count: Int) {
        expectTensorRefusal(
            .init(name: "t", shape: Array(repeating: 1, count: count)), .tooManyDimensions(limit: 4))
    }

    @Test("a number of dimensions that no file could hold is refused")
    func hugeDimensionCount() {
        var file = GGUFBuilder(tensors: [.init(name: "t", shape: [1])]).build()
        file.bytes.replaceSubrange(file.tensors[0] + 9..<file.tensors[0] + 13, with: littleEndian(UInt32.max))
        expectRefusal(.tooManyDimensions(limit: 4), tensor: "t", at: file.tensors[0], from: file.read)
    }

    @Test("a dimension fits 63 bits", arguments: [1 << 63, .max] as [UInt64])
    func hugeDimension(size: UInt64) {
        expectTensorRefusal(.init(name: "t", shape: [1, size]), .dimensionTooLarge(size))
    }

    @Test("a size that does not fit 63 bits is refused")
    func sizeOverflow() {
        let huge: UInt64 = 1 << 62
        expectTensorRefusal(.init(name: "t", shape: [huge, 2]), .sizeOverflow(shape: [1 << 62, 2]))
        expectTensorRefusal(.init(name: "t", shape: [huge]), .sizeOverflow(shape: [1 << 62]))
        expectTensorRefusal(
            .init(name: "t", shape: [huge, huge, 0]), .sizeOverflow(shape: [1 << 62, 1 << 62, 0]))
        expectTensorRefusal(.init(name: "t", type: 12, shape: [huge]), .sizeOverflow(shape: [1 << 62]))
    }

    @Test("a tensor of an unknown type has bytes, and is as large as the others of its type and shape")
    func unknownTypes() {
        expectTensorRefusal(.init(name: "t", type: 36, shape: [256]), .cutShort(expected: 1, found: 0))
        let same = GGUFBuilder(tensors: [
            .init(name: "a", type: 36, shape: [256], bytes: 64), .init(name: "b", type: 36, shape: [256], bytes: 32),
        ]).build()
        expectRefusal(.cutShort(expected: 64, found: 32), tensor: "b", at: same.tensors[1], from: same.read)
        let next = GGUFBuilder(tensors: [
            .init(name: "a", type: 36, shape: [256], bytes: 64), .init(name: "b", shape: [4], offset: 0),
        ]).build()
        expectRefusal(.notContiguous(expected: 1, found: 0), tensor: "a", at: next.tensors[0], from: next.read)
        let beyond = GGUFBuilder(tensors: [
            .init(name: "a", type: 36, shape: [256], bytes: 64), .init(name: "b", shape: [4], offset: 1 << 40),
        ]).build()
        expectRefusal(.cutShort(expected: 1 << 40, found: 96), tensor: "a", at: beyond.tensors[0], from: beyond.read)
    }

    @Test("rows fill whole blocks of their type")
    func partialBlocks() {
        for (number, _, elements, _) in GGUFReadingTests.types where elements > 1 {
            let problem = FormatError.Problem.partialBlock(row: elements - 1, block: elements)
            expectTensorRefusal(
                .init(name: "t", type: number, shape: [UInt64(elements) - 1, UInt64(elements)]), problem)
            expectTensorRefusal(
                .init(name: "t", type: number, shape: []), .partialBlock(row: 1, block: elements))
        }
    }

    // MARK: Data

    @Test(
        "tensors follow each other without an overlap, or a hole of an alignment or more",
        arguments: [0, 15, 48, 64, 1 << 63, .max] as [UInt64])
    func offsets(offset: UInt64) {
        let file = GGUFBuilder(tensors: [
            .init(name: "a", shape: [4]), .init(name: "b", shape: [4], offset: offset),
        ]).build()
        expectRefusal(
            .notContiguous(expected: 32, found: offset), tensor: "b", at: file.tensors[1], from: file.read)
    }

    @Test("data begins with the first tensor")
    func firstOffset() {
        expectTensorRefusal(.init(name: "t", shape: [1], offset: 32), .notContiguous(expected: 0, found: 32))
    }

    @Test("data that the file does not have is cut short")
    func missingData() {
        expectTensorRefusal(
            .init(name: "t", shape: [1 << 40], bytes: 10), .cutShort(expected: 1 << 42, found: 32))
        let file = GGUFBuilder(
            tensors: [.init(name: "a", shape: [9]), .init(name: "t", shape: [4], bytes: 15)], padsEnd: false
        ).build()
        expectRefusal(
            .cutShort(expected: 64 + 16, found: 64 + 15), tensor: "t", at: file.tensors[1], from: file.read)
    }

    @Test("tensors whose sizes overflow together are cut short")
    func overflowTogether() {
        let part: UInt64 = 1 << 57
        let tensors = (0..<9).map { index in
            GGUFBuilder.Tensor(
                name: "t\(index)", type: 28, shape: [part - 32], offset: UInt64(index) * (part - 32) * 8,
                bytes: 0)
        }
        let file = GGUFBuilder(tensors: tensors).build()
        let source = MeteredSource(file.bytes, count: .max)
        let error = #expect(throws: FormatError.self) { try FileLayout.read(source, format: .gguf) }
        #expect(error?.tensor == "t8")
        #expect(error?.offset == file.tensors[8])
    }

    @Test("a header that ends before its padding is cut short")
    func missingPadding() {
        let file = GGUFBuilder(tensors: [.init(name: "t", shape: [0])]).build()
        #expect(file.dataStart - file.headerEnd > 1)
        expectRefusal(
            .cutShort(expected: file.dataStart - file.headerEnd, found: 1), at: file.headerEnd
        ) { try layout(of: Array(file.bytes[...file.headerEnd]), format: .gguf) }
    }
}
