import Foundation
import WeightStore

/// A format for tests, with its directory at the end: the data of the tensors, a JSON array that describes them, its
/// length in 8 bytes, and `TRAILER` with a line feed.
enum TrailerFormat: ModelFormat {
    static let name = "trailer"
    static let fileExtensions = ["trailer"]
    static let maximumDirectoryBytes = 64 << 20

    private static let magic = Array("TRAILER\n".utf8)

    struct Tensor: Codable {
        var name: String
        var dtype = "BF16"
        var shape: [Int]
        var offset: Int
        var bytes: Int
    }

    static func readLayout(_ source: some ByteSource) throws -> FileLayout {
        let end = source.count - 16
        let trailer = try source.bytes(at: end, count: 16)
        guard Array(trailer[8...]) == magic else {
            throw FormatError(file: source.name, offset: end + 8, problem: .rule("the file does not end in TRAILER"))
        }
        let length = trailer[..<8].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        guard length <= maximumDirectoryBytes else {
            throw FormatError(
                file: source.name, offset: end, problem: .headerTooLong(bytes: length, limit: maximumDirectoryBytes))
        }
        let directory = try source.bytes(at: end - Int(length), count: Int(length))
        let tensors = try JSONDecoder().decode([Tensor].self, from: Data(directory))
        return FileLayout(
            format: FileFormat(Self.self), bytes: source.count,
            tensors: tensors.map {
                TensorInfo(name: $0.name, dtype: $0.dtype, shape: $0.shape, offset: $0.offset, bytes: $0.bytes)
            }, metadata: [:])
    }

    /// A file with the given directory.
    static func file(_ data: [UInt8], _ tensors: [Tensor]) throws -> [UInt8] {
        let directory = try JSONEncoder().encode(tensors)
        return data + directory + withUnsafeBytes(of: UInt64(directory.count).littleEndian) { Array($0) } + magic
    }

    /// A model of so many layers, a tensor of 1 MiB in each.
    static func model(layers: Int) throws -> (file: [UInt8], tensors: [Tensor]) {
        var random = SystemRandomNumberGenerator()
        var data: [UInt8] = []
        for _ in 0..<layers << 17 { withUnsafeBytes(of: random.next() as UInt64) { data += $0 } }
        let tensors = (0..<layers).map { layer in
            Tensor(
                name: "model.layers.\(layer).mlp.up_proj.weight", shape: [512, 1024], offset: layer << 20,
                bytes: 1 << 20)
        }
        return (try file(data, tensors), tensors)
    }
}
