import ModelFormats
import Testing

/// Names in files are compared by bytes: two that Unicode holds equal are two names.
struct NameTests {
    private static let nfc = "layers.0.caf\u{E9}"
    private static let nfd = "layers.0.cafe\u{301}"

    private func names(_ layout: FileLayout) -> [[UInt8]] { layout.tensors.map { Array($0.name.utf8) } }

    @Test("a safetensors file holds two tensors whose names Unicode holds equal")
    func safetensors() throws {
        let tensors = [Self.nfc, Self.nfd].map { SafetensorsWriter.Tensor(name: $0, dtype: "U8", shape: [8]) }
        let writer = try SafetensorsWriter(tensors)
        let found = try layout(of: writer.header + [UInt8](repeating: 1, count: 16), format: .safetensors)
        #expect(names(found) == [Array(Self.nfd.utf8), Array(Self.nfc.utf8)])
        // The plan is the same every time.
        let plan = ShardPlan(found)
        #expect(plan.extents.map(\.length).reduce(0, +) == found.bytes)
    }

    @Test("a GGUF file holds two tensors whose names Unicode holds equal, and two such keys")
    func gguf() throws {
        let layout = try GGUFBuilder(
            metadata: [("caf\u{E9}", .bool(true)), ("cafe\u{301}", .bool(false))],
            tensors: [.init(name: Self.nfc, shape: [8]), .init(name: Self.nfd, shape: [8])]
        ).read()
        #expect(names(layout) == [Array(Self.nfc.utf8), Array(Self.nfd.utf8)])
        #expect(layout.metadata.count == 1)
    }

    @Test("a tensor whose name contains NUL is refused: SQLite would end it there")
    func nul() throws {
        let json = #"{"w\u0000one":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
        expectRefusal(.nameWithNUL("w\0one"), tensor: "w\0one", at: 8 + json.utf8.count) {
            try SafetensorsFile(json, data: 1).read()
        }
        #expect(throws: FormatError.self) {
            try GGUFBuilder(tensors: [.init(name: "w\0one", shape: [8])]).read()
        }
    }

    @Test("an index holds two tensors in two files whose names Unicode holds equal")
    func index() throws {
        let text = """
            {"weight_map": {"\(Self.nfc)": "a\u{E9}.safetensors", "\(Self.nfd)": "ae\u{301}.safetensors"}}
            """
        let index = try SafetensorsIndex.parse(name: "index", bytes: Array(text.utf8))
        #expect(index.weightMap.count == 2)
        #expect(
            index.files.map { Array($0.utf8) }
                == ["ae\u{301}.safetensors", "a\u{E9}.safetensors"].map { Array($0.utf8) })
        func file(_ tensor: String) -> FileLayout {
            FileLayout(
                format: .safetensors, bytes: 1,
                tensors: [TensorInfo(name: tensor, dtype: "U8", shape: [1], offset: 0, bytes: 1)], metadata: [:])
        }
        let files = [("a\u{E9}.safetensors", file(Self.nfc)), ("ae\u{301}.safetensors", file(Self.nfd))]
        #expect(try index.check(files.map { (key: $0.0, value: $0.1) }).isEmpty)
        // Each file has the other's tensor.
        let swapped = [(key: files[0].0, value: files[1].1), (key: files[1].0, value: files[0].1)]
        #expect(try index.check(swapped).count == 2)
    }

    @Test("the extension of a path is its last bytes", arguments: ["x\u{600}.safetensors", "a/\u{301}.b.safetensors"])
    func fileExtension(path: String) {
        #expect(FileFormat(path: path) == .safetensors)
    }
}
