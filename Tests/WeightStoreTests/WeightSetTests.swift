import TestSupport
import Testing
@testable import WeightStore

/// Repositories as they are: several sets of weights side by side.
@Suite(.blocking) struct WeightSetTests {
    private func sets(
        _ paths: [String], gguf: [String] = [], indexes: [String: [String]] = [:]
    ) throws -> [WeightSet] {
        var files: [(path: String, format: FileFormat)] = [(path: "config.json", format: .other)]
        for path in paths { files.append((path: path, format: .safetensors)) }
        for path in gguf { files.append((path: path, format: .gguf)) }
        for path in indexes.keys { files.append((path: path, format: .other)) }
        return try WeightSet.all(in: files) { path in
            let map = (indexes[path] ?? []).map { "\"t.\($0)\": \"\($0)\"" }.joined(separator: ", ")
            return try SafetensorsIndex.parse(name: path, bytes: Array("{\"weight_map\": {\(map)}}".utf8))
        }
    }

    private func weights(_ files: [String], in folder: String = "", others: [String] = []) -> WeightSet {
        WeightSet(folder: folder, files: files, others: others)
    }

    private let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    private let index = "model.safetensors.index.json"

    @Test("a single file is preferred to shards, as transformers prefers it")
    func single() throws {
        #expect(
            try sets(shards + ["model.safetensors"], indexes: [index: shards]) == [
                weights(["model.safetensors"], others: shards)
            ])
    }

    @Test("an index selects its files, and consolidated.safetensors is left out with or without one")
    func consolidated() throws {
        let all = shards + ["consolidated.safetensors"]
        #expect(try sets(all, indexes: [index: shards]) == [weights(shards, others: ["consolidated.safetensors"])])
        #expect(try sets(all) == [weights(shards, others: ["consolidated.safetensors"])])
        #expect(try sets(["consolidated.safetensors"]) == [weights(["consolidated.safetensors"])])
    }

    @Test("of the files of an index, those that exist are selected; an index without any selects nothing")
    func incomplete() throws {
        #expect(try sets([shards[0]], indexes: [index: shards]) == [weights([shards[0]])])
        #expect(try sets(["pytorch.safetensors"], indexes: [index: shards]) == [weights(["pytorch.safetensors"])])
    }

    @Test("each folder of a pipeline has a set, and variants are left out where the default exists")
    func pipeline() throws {
        let paths = [
            "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
            "vae/diffusion_pytorch_model.fp16.safetensors", "text_encoder/model.safetensors",
            "text_encoder/model.fp16.safetensors", "other/x-00001-of-00001.safetensors",
            "other/x.fp16-00001-of-00001.safetensors",
        ]
        #expect(
            try sets(paths) == [
                weights([paths[5]], in: "other", others: [paths[6]]),
                weights([paths[3]], in: "text_encoder", others: [paths[4]]),
                weights([paths[0]], in: "unet", others: [paths[1]]), weights([paths[2]], in: "vae"),
            ])
    }

    @Test("an adapter beside a model is not loaded with it; alone it is the model")
    func adapter() throws {
        let adapter = "adapter_model.safetensors"
        #expect(try sets(["model.safetensors", adapter]) == [weights(["model.safetensors"], others: [adapter])])
        #expect(try sets([adapter, "extra.safetensors"]) == [weights([adapter], others: ["extra.safetensors"])])
    }

    @Test("safetensors files are preferred to other formats, and a folder without tensors has no set")
    func formats() throws {
        #expect(try sets(["a.safetensors"], gguf: ["b.gguf"]) == [weights(["a.safetensors"], others: ["b.gguf"])])
        #expect(try sets([], gguf: ["a.gguf", "b.gguf"]) == [weights(["a.gguf", "b.gguf"])])
        #expect(try sets([]).isEmpty)
    }

    @Test("the sets of a stored revision follow its index; an index that is none selects no file")
    func stored() throws {
        let directory = try TemporaryDirectory()
        let model = TestModel(layers: 1)
        try model.write(to: directory("model"), files: 2)
        try directory.write(model.file(model.tensors), to: "model/consolidated.safetensors")
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let expected = [weights(shards, others: ["consolidated.safetensors"])]
        #expect(try store.revision("model").weightSets() == expected)
        // All files have layers.
        #expect(try store.revision("model").layers().map(\.tensors) == [8])
        try directory.write("{}", to: "model/\(index)")
        var request = ImportRequest(source: directory("model"))
        request.partial = true
        try store.importModelBlocking(request)
        #expect(try store.revision("model").weightSets() == expected)
    }
}
