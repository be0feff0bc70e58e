import Foundation
import WeightStore

/// A checkpoint with the shapes of a published model and random bytes for weights, written as Transformers would.
///
/// The same shape, seed and tuning give the same bytes.
struct Checkpoint {
    let shape: any CheckpointShape
    var seed: UInt64 = 1
    /// Another seed for the tensors that a merged LoRA changes (`CheckpointShape.tunedParts`): it makes the checkpoint
    /// a fine-tune of the one with the same `seed`. nil for the base.
    var tuning: UInt64?

    /// Transformers starts a new file beyond this size.
    static let maximumFileBytes = 5_000_000_000

    private struct File {
        var tensors: [SafetensorsWriter.Tensor] = []
        var bytes = 0
    }

    /// Writes the files into a directory, which is created if missing.
    ///
    /// - Parameter unfinished: receives the path of everything before it is created.
    func write(to directory: String, _ unfinished: UnfinishedFiles, work: Work = Work()) throws {
        try unfinished.createDirectory(directory)
        var files = [File()]
        for tensor in shape.tensors {
            let bits = ElementType.safetensors[tensor.dtype]?.bitCount(elements: tensor.shape.reduce(1, *)) ?? 0
            let bytes = bits / 8
            if files[files.count - 1].bytes > 0, files[files.count - 1].bytes + bytes > Self.maximumFileBytes {
                files.append(File())
            }
            files[files.count - 1].tensors.append(tensor)
            files[files.count - 1].bytes += bytes
        }
        let total = files.reduce(0) { $0 + $1.bytes }
        work.expect(total)
        var weightMap: [String: String] = [:]
        for (index, file) in files.enumerated() {
            let name =
                shape.fileName
                + (files.count == 1 ? "" : String(format: "-%05d-of-%05d", index + 1, files.count)) + ".safetensors"
            for tensor in file.tensors { weightMap[tensor.name] = name }
            unfinished.add("\(directory)/\(name)")
            try write(file.tensors, to: "\(directory)/\(name)") { bytes in
                try work.check()
                work.advance(bytes)
            }
        }
        if files.count > 1 {
            let index: [String: Any] = ["metadata": ["total_size": total], "weight_map": weightMap]
            let path = "\(directory)/\(shape.fileName).safetensors.index.json"
            unfinished.add(path)
            try write(json: index, to: path)
        }
        unfinished.add("\(directory)/\(shape.configName)")
        try write(json: shape.config, to: "\(directory)/\(shape.configName)")
    }

    private func write(json: Any, to path: String) throws {
        let data = try JSONSerialization.data(withJSONObject: json, options: [.prettyPrinted, .sortedKeys])
        try data.write(to: URL(fileURLWithPath: path))
    }

    private func write(
        _ tensors: [SafetensorsWriter.Tensor], to path: String, progress: (Int) throws -> Void
    ) throws {
        let writer = try SafetensorsWriter(file: path, tensors, metadata: ["format": "pt"])
        guard FileManager.default.createFile(atPath: path, contents: Data(writer.header)) else {
            throw FileError.system(operation: "open", path: path, code: errno)
        }
        let output = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try output.seekToEnd()
        let words = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: 1 << 20)
        defer { words.deallocate() }
        let tunedParts = shape.tunedParts
        for tensor in writer.tensors {
            var random = SplitMix(seed: seed(of: tensor.name, tunedParts))
            var left = tensor.bytes
            while left > 0 {
                for index in words.indices.prefix((left + 7) / 8) { words[index] = random.next() }
                let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(words).prefix(left))
                try writeAll(bytes, to: output.fileDescriptor, name: path)
                left -= bytes.count
                try progress(bytes.count)
            }
        }
        try output.close()
    }

    private func seed(of tensor: String, _ tunedParts: [String]) -> UInt64 {
        let isTuned = tuning != nil && tunedParts.contains { tensor.contains($0) }
        // FNV-1a: Swift's own hash values differ between runs.
        return tensor.utf8.reduce(0xCBF2_9CE4_8422_2325 ^ (isTuned ? tuning ?? seed : seed)) {
            ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
private struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}
