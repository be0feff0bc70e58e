import Foundation
import ModelFormats

/// A small model: tensors with random bytes, and the files around them.
///
///     let base = TestModel(layers: 2)
///     try base.write(to: directory("base"))
///     try base.tuned(seed: 7).write(to: directory("tuned"))
package struct TestModel: Sendable {
    package var tensors: [SafetensorsWriter.Tensor]
    /// The seed of each tensor's bytes; others have `seed`.
    package var seeds: [String: UInt64] = [:]
    package var seed: UInt64
    /// Tensors that have the bytes of another tensor, by name.
    package var copies: [String: String] = [:]
    package var others: [String: String] = [
        "config.json": "{\"model_type\": \"test\"}\n", "tokenizer/vocab.txt": "a\nb\nc\n",
    ]

    /// - Parameter wide: rows of the large matrices; 512 makes tensors of 1 MiB, shards of their own.
    package init(layers: Int = 2, seed: UInt64 = 1, wide: Int = 512) {
        self.seed = seed
        tensors = [.init(name: "model.embed_tokens.weight", dtype: "F32", shape: [wide, 640])]
        for layer in 0..<layers {
            let prefix = "model.layers.\(layer)"
            tensors += [
                .init(name: "\(prefix).input_layernorm.weight", dtype: "F32", shape: [512]),
                .init(name: "\(prefix).self_attn.q_proj.weight", dtype: "F32", shape: [wide, 512]),
                .init(name: "\(prefix).self_attn.k_proj.weight", dtype: "BF16", shape: [64, 512]),
                .init(name: "\(prefix).mlp.up_proj.weight", dtype: "BF16", shape: [wide, 1024]),
            ]
        }
        tensors.append(.init(name: "model.norm.weight", dtype: "F32", shape: [512]))
    }

    /// The model with the `q_proj` of every layer changed: the result of merging a LoRA.
    package func tuned(seed: UInt64) -> TestModel {
        var tuned = self
        for tensor in tensors where tensor.name.contains("q_proj") { tuned.seeds[tensor.name] = seed }
        return tuned
    }

    package func bytes(of tensor: TensorInfo) -> [UInt8] {
        let name = copies[tensor.name] ?? tensor.name
        var state = name.utf8.reduce(seeds[name] ?? seed) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
        // A debug build takes ten times as long to append to an array.
        let words = tensor.bytes / 8 + 1
        return [UInt8](unsafeUninitializedCapacity: words * 8) { bytes, count in
            let memory = UnsafeMutableRawBufferPointer(bytes)
            var offset = 0
            while offset < words * 8 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                memory.storeBytes(of: state ^ state >> 29, toByteOffset: offset, as: UInt64.self)
                offset += 8
            }
            count = tensor.bytes
        }
    }

    /// A safetensors file with some of the tensors.
    package func file(_ tensors: [SafetensorsWriter.Tensor]) throws -> [UInt8] {
        let writer = try SafetensorsWriter(tensors, metadata: ["format": "pt"])
        return writer.tensors.reduce(into: writer.header) { $0 += bytes(of: $1) }
    }

    /// Writes the model, spread over `files` safetensors files with an index if there are several.
    package func write(to path: String, files: Int = 1) throws {
        let directory = URL(fileURLWithPath: path)
        func put(_ bytes: some Sequence<UInt8>, _ name: String) throws {
            let url = directory.appendingPathComponent(name)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(bytes).write(to: url)
        }
        for (name, text) in others { try put(text.utf8, name) }
        if files == 1 { return try put(file(tensors), "model.safetensors") }
        var map: [String: String] = [:]
        for number in 0..<files {
            let name = String(format: "model-%05d-of-%05d.safetensors", number + 1, files)
            let part = tensors.enumerated().filter { $0.offset % files == number }.map(\.element)
            for tensor in part { map[tensor.name] = name }
            try put(file(part), name)
        }
        let index = try JSONSerialization.data(
            withJSONObject: ["metadata": ["total_size": 0], "weight_map": map] as [String: Any], options: .sortedKeys)
        try put(index, "model.safetensors.index.json")
    }
}
