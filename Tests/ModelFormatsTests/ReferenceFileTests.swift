import Foundation
import ModelFormats
import Testing

/// Where `Tests/formats-reference.py` has written its files.
private let directory = ProcessInfo.processInfo.environment["WEIGHTSTORE_REFERENCE_FILES"]
    .map { URL(fileURLWithPath: $0, isDirectory: true) }

/// The reference implementations and this one accept and refuse the same files.
@Suite("Files of the reference implementations", .enabled(if: directory != nil))
struct ReferenceFileTests {
    private struct Expected: Decodable {
        var files: [String: File]
        var indexes: [String: Index]
        var damaged: [Verdict]

        struct File: Decodable {
            var format: String
            var metadata: [String: String]
            var tensors: [Tensor]
        }

        struct Tensor: Decodable {
            var name: String
            var dtype: String
            var shape: [Int]
            var offset: Int
            var bytes: Int
        }

        struct Verdict: Decodable {
            var file: Data
            /// Nil where the reference refuses the file.
            var tensors: [Found]?
        }

        struct Found: Decodable, Hashable {
            var name: String
            var dtype: String
            /// The reference accepts dimensions above 63 bits where another dimension is 0.
            var shape: [UInt64]
            var bytes: Int

            init(_ tensor: TensorInfo) {
                (name, dtype, shape, bytes) = (
                    tensor.name, tensor.dtype, tensor.shape.map(UInt64.init), tensor.bytes
                )
            }

            init(from decoder: any Decoder) throws {
                var values = try decoder.unkeyedContainer()
                name = try values.decode(String.self)
                dtype = try values.decode(String.self)
                shape = try values.decode([UInt64].self)
                bytes = try values.decode(Int.self)
            }
        }

        struct Index: Decodable {
            var weightMap: [String: String]
            var totalBytes: Int
        }
    }

    private func bytes(of file: String) throws -> [UInt8] {
        try [UInt8](Data(contentsOf: #require(directory).appendingPathComponent(file)))
    }

    private func expected() throws -> Expected {
        let expected = try JSONDecoder().decode(Expected.self, from: Data(bytes(of: "expected.json")))
        try #require(!expected.files.isEmpty && !expected.indexes.isEmpty)
        return expected
    }

    private func layout(of file: String) throws -> FileLayout {
        try FileLayout.read(MemorySource(name: file, bytes: bytes(of: file)), path: file)
    }

    @Test("every file has the tensors and the metadata that were written")
    func layouts() throws {
        for (name, file) in try expected().files {
            let layout = try layout(of: name)
            let tensors = file.tensors.map { tensor in
                TensorInfo(
                    name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, offset: tensor.offset,
                    bytes: tensor.bytes)
            }.sorted { ($0.offset, $0.name) < ($1.offset, $1.name) }
            #expect(layout.format.rawValue == file.format, "\(name)")
            #expect(layout.tensors == tensors, "\(name)")
            #expect(brokenPromise(of: layout) == nil, "\(name)")
            for (key, text) in file.metadata { #expect(layout.metadata[key] == text, "\(name): \(key)") }
            if layout.format == .safetensors { #expect(layout.metadata == file.metadata, "\(name)") }
        }
    }

    @Test("every index has the map that was written, and agrees with its files")
    func indexes() throws {
        for (name, expected) in try expected().indexes {
            let index = try SafetensorsIndex.parse(name: name, bytes: bytes(of: name))
            let map = Dictionary(uniqueKeysWithValues: index.weightMap.map { ($0.tensor, $0.file) })
            #expect(map == expected.weightMap)
            #expect(index.totalBytes == expected.totalBytes)
            let layouts = Dictionary(uniqueKeysWithValues: try index.files.map { ($0, try layout(of: $0)) })
            #expect(try index.check(layouts).isEmpty)
        }
    }

    @Test("the parts of a split file agree")
    func splits() throws {
        let parts = try expected().files.keys.filter { GGUFSplit(fileName: $0) != nil }
        #expect(parts.count > 1)
        try GGUFSplit.check(Dictionary(uniqueKeysWithValues: parts.map { ($0, try layout(of: $0)) }))
    }

    @Test("the header that is written is the reference's, byte for byte")
    func writer() throws {
        var compared = 0
        for (name, file) in try expected().files where file.format == "safetensors" {
            // The reference writes metadata in an order that varies.
            guard file.metadata.count <= 1 else { continue }
            let tensors = file.tensors.shuffled().map {
                SafetensorsWriter.Tensor(name: $0.name, dtype: $0.dtype, shape: $0.shape)
            }
            let writer = try SafetensorsWriter(tensors, metadata: file.metadata)
            let written = try bytes(of: name)
            #expect(written.starts(with: writer.header), "\(name)")
            #expect(written.count == writer.fileBytes, "\(name)")
            compared += 1
        }
        #expect(compared > 3)
    }

    @Test("a damaged file is refused where the reference refuses it, or by a rule that is ours")
    func damaged() throws {
        var (accepted, refused, stricter) = (0, 0, 0)
        for verdict in try expected().damaged {
            let text = String(decoding: verdict.file, as: UTF8.self)
            do {
                let layout = try FileLayout.read(
                    MemorySource(name: "damaged", bytes: [UInt8](verdict.file)), format: .safetensors)
                #expect(brokenPromise(of: layout) == nil, "\(text)")
                #expect(
                    Set(layout.tensors.map(Expected.Found.init)) == verdict.tensors.map(Set.init), "\(text)")
                accepted += 1
            } catch let error as FormatError {
                guard verdict.tensors != nil else {
                    refused += 1
                    continue
                }
                stricter += 1
                switch error.problem {
                // The docstring of `Safetensors` lists where it is stricter.
                case .headerStart, .json(.numberTooLarge), .json(.expected("an object")): break
                default: Issue.record("\(error): \(text)")
                }
            }
        }
        #expect(
            accepted > 100 && refused > 100, "\(accepted) accepted, \(refused) refused, \(stricter) stricter")
    }
}
