import ModelFormats
import Testing

@Suite("Split GGUF")
struct GGUFSplitTests {
    @Test("a part's name contains its prefix, number and count")
    func names() throws {
        let split = try #require(GGUFSplit(fileName: "sub.dir/model-q4-00002-of-00010.gguf"))
        #expect(split.prefix == "sub.dir/model-q4")
        #expect(split.number == 2)
        #expect(split.count == 10)
        #expect(split.fileName == "sub.dir/model-q4-00002-of-00010.gguf")
        #expect(GGUFSplit(fileName: "é-99999-of-99999.gguf")?.number == 99_999)
    }

    @Test(
        "other names are not of parts",
        arguments: [
            "", "model.gguf", "-00001-of-00001.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf",
            "m-00001-of-00000.gguf", "m-0001-of-0002.gguf", "m-000001-of-000002.gguf",
            "m-00001-of-00002.GGUF",
            "m-00001_of_00002.gguf", "m 00001-of-00002.gguf", "m-0000a-of-00002.gguf",
            "m-+0001-of-00002.gguf",
            "m-00001-of-00002.gguf.part", "m-00001-of-00002.safetensors",
        ])
    func otherNames(name: String) {
        #expect(GGUFSplit(fileName: name) == nil)
    }

    private func part(
        _ number: Int, of count: Int, _ names: String..., total: Int = 3, without missing: String? = nil
    ) -> FileLayout {
        var metadata = [
            "split.no": "\(number)", "split.count": "\(count)", "split.tensors.count": "\(total)",
        ]
        if let missing { metadata[missing] = nil }
        let tensors = names.map { TensorInfo(name: $0, dtype: "F32", shape: [1], offset: 64, bytes: 4) }
        return FileLayout(format: .gguf, bytes: 100, tensors: tensors, metadata: metadata)
    }

    private let one = "m-00001-of-00002.gguf"
    private let two = "m-00002-of-00002.gguf"

    @Test("parts that agree are a model, and so is an empty list of parts")
    func agreeing() throws {
        try GGUFSplit.check([one: part(0, of: 2, "a", "b"), two: part(1, of: 2, "c")])
        try GGUFSplit.check([one: part(0, of: 2), two: part(1, of: 2, "a", "b", "c")])
        try GGUFSplit.check(["m-00001-of-00001.gguf": part(0, of: 1, "a", "b", "c")])
        try GGUFSplit.check([:])
    }

    @Test("parts as they are written are read and agree")
    func written() throws {
        var layouts: [String: FileLayout] = [:]
        for number in 0..<3 {
            let builder = GGUFBuilder(
                metadata: [
                    ("split.no", .uint16(UInt16(number))), ("split.count", .uint16(3)),
                    ("split.tensors.count", .int32(3)),
                ], tensors: [.init(name: "blk.\(number).w", shape: [4])])
            layouts["m-0000\(number + 1)-of-00003.gguf"] = try builder.read()
        }
        try GGUFSplit.check(layouts)
    }

    @Test("a missing part is named")
    func missingPart() {
        expectRefusal(.missingFile(two), at: 0, of: one) { try GGUFSplit.check([one: part(0, of: 2, "a")]) }
        expectRefusal(.missingFile(one), at: 0, of: two) { try GGUFSplit.check([two: part(1, of: 2, "a")]) }
    }

    @Test("names that do not belong together are refused")
    func mixedNames() {
        for other in ["n-00002-of-00002.gguf", "m-00002-of-00003.gguf"] {
            expectRefusal(.mixedSplits(one, other), at: 0, of: other) {
                try GGUFSplit.check([one: part(0, of: 2), other: part(1, of: 2)])
            }
        }
        expectRefusal(.notASplitName, at: 0, of: "a.gguf") {
            try GGUFSplit.check([one: part(0, of: 2), "a.gguf": part(1, of: 2)])
        }
        expectRefusal(.notASplitName, at: 0, of: "z.gguf") {
            try GGUFSplit.check([one: part(0, of: 2), "z.gguf": part(1, of: 2)])
        }
    }

    @Test(
        "a part states its number, the count and the number of tensors",
        arguments: [
            "split.no", "split.count", "split.tensors.count",
        ])
    func missingMetadata(key: String) {
        expectRefusal(.missingMetadata(key), at: 0, of: two) {
            try GGUFSplit.check([one: part(0, of: 2, "a"), two: part(1, of: 2, "b", "c", without: key)])
        }
    }

    @Test("metadata that disagrees with names and tensors is refused")
    func disagreeing() {
        func refuse(
            _ key: String, _ expected: Int, _ found: String, _ first: FileLayout, _ second: FileLayout
        ) {
            expectRefusal(.splitDisagrees(key: key, expected: expected, found: found), at: 0, of: two) {
                try GGUFSplit.check([one: first, two: second])
            }
        }
        let first = part(0, of: 2, "a", "b")
        refuse("split.no", 1, "0", first, part(0, of: 2, "c"))
        refuse("split.count", 2, "3", first, part(1, of: 3, "c"))
        refuse("split.tensors.count", 3, "4", first, part(1, of: 2, "c", total: 4))
        var text = part(1, of: 2, "c")
        text.metadata["split.no"] = "one"
        refuse("split.no", 1, "one", first, text)
    }

    @Test("a tensor is in one part")
    func duplicateTensor() {
        expectRefusal(.duplicateName("a"), tensor: "a", at: 64, of: two) {
            try GGUFSplit.check([one: part(0, of: 2, "a", "b"), two: part(1, of: 2, "a")])
        }
    }
}
