import Foundation
import TestSupport
import Testing
@testable import WeightStore

/// A format that is added, whose directory is at the end of its files.
@Suite(.blocking) struct FormatExtensionTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        FileFormat.register(TrailerFormat.self)
    }

    @Test("a file of an added format is imported, has layers, and is exported byte for byte")
    func importing() throws {
        let (bytes, tensors) = try TrailerFormat.model(layers: 3)
        try directory.write(bytes, to: "model/weights.trailer")
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        let file = try #require(try revision.files().first)
        #expect(file.format == "trailer" && file.tensors == 3)
        // One shard for each tensor, and one for the directory.
        #expect(file.shards == 4)
        let layer = try revision.layer(1)
        #expect(layer.tensors.map(\.entry.name) == [tensors[1].name])
        #expect(layer.tensors[0].bytes.withUnsafeBytes { Array($0) } == Array(bytes[1 << 20..<2 << 20]))
        try revision.exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/weights.trailer")) == bytes)
    }

    @Test(
        "a pull reads the directory at the end of a file, then the requested layers; other layers are fetched on use"
    )
    func pulling() throws {
        let (bytes, tensors) = try TrailerFormat.model(layers: 6)
        let hub = RecordingHub(path: "weights.trailer", bytes: bytes)
        store.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        request.selection = FetchSelection(layers: 2...2)
        #expect(try store.pullBlocking(request).complete == false)
        let first = hub.reads()
        #expect(first.first == bytes.count - RemoteSource.readAhead..<bytes.count)
        #expect(first.dropFirst().allSatisfy { 2 << 20 <= $0.lowerBound && $0.upperBound <= 3 << 20 })
        #expect(first.dropFirst().reduce(0) { $0 + $1.count } == 1 << 20)

        let revision = try store.revision("org/model")
        #expect(try revision.files().first?.format == "trailer")
        func check(_ number: Int) throws {
            let tensor = try #require(try revision.layer(number).tensors.first)
            let range = number << 20..<(number + 1) << 20
            #expect(tensor.entry.name == tensors[number].name)
            #expect(tensor.bytes.withUnsafeBytes { Array($0) } == Array(bytes[range]))
        }
        try check(2)
        #expect(hub.reads().isEmpty)
        try check(4)
        #expect(hub.reads().reduce(0) { $0 + $1.count } == 1 << 20)

        try revision.exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/weights.trailer")) == bytes)
        #expect(hub.reads().reduce(0) { $0 + $1.count } == bytes.count - 2 << 20)
        // The layout that an import makes of the same file.
        try directory.write(bytes, to: "model/weights.trailer")
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        #expect(try store.revision("model").files().first?.digest == store.revision("org/model").files().first?.digest)
        #expect(try store.verifyBlocking().damage.isEmpty)
    }

    @Test("a layout that breaks a promise is refused, for any result of its reader")
    func promises() throws {
        typealias Tensor = TrailerFormat.Tensor
        let (bytes, good) = try TrailerFormat.model(layers: 1)
        let cases: [([Tensor], FormatError.Problem)] = [
            (
                [good[0], Tensor(name: "b", shape: [2], offset: 8, bytes: 4)],
                .notContiguous(expected: 1 << 20, found: 8)
            ),
            (
                [good[0], Tensor(name: good[0].name, shape: [0], offset: 1 << 20, bytes: 0)],
                .duplicateName(good[0].name)
            ),
            ([Tensor(name: "b", shape: [-1], offset: 0, bytes: 4)], .sizeOverflow(shape: [-1])),
            ([Tensor(name: "b", shape: [2], offset: -1, bytes: 4)], .cutShort(expected: 4, found: 1 << 20)),
            ([Tensor(name: "b", shape: [2], offset: .max, bytes: 4)], .cutShort(expected: 4, found: 0)),
            ([Tensor(name: "b", shape: [2], offset: 4, bytes: .max)], .cutShort(expected: .max, found: 1 << 20)),
            ([Tensor(name: "b", dtype: "a b", shape: [2], offset: 0, bytes: 4)], .unknownType("a b")),
        ]
        for (number, (tensors, problem)) in cases.enumerated() {
            let source = MemorySource(name: "", bytes: try TrailerFormat.file(Array(bytes[..<(1 << 20)]), tensors))
            let error = #expect(throws: FormatError.self, "\(number)") {
                try FileLayout.read(source, format: FileFormat(TrailerFormat.self))
            }
            switch (error?.problem, problem) {
            // The size of the directory is known from the bytes that were read.
            case (.cutShort(let expected, _), .cutShort(let wanted, _)): #expect(expected == wanted, "\(number)")
            default: #expect(error?.problem == problem, "\(number)")
            }
        }
        // A zero-byte tensor may have the offset of another.
        let source = MemorySource(
            name: "",
            bytes: try TrailerFormat.file(
                Array(bytes[..<(1 << 20)]), good + [Tensor(name: "z", shape: [0], offset: 0, bytes: 0)]))
        #expect(try FileLayout.read(source, format: FileFormat(TrailerFormat.self)).tensors.count == 2)
    }

    @Test(
        "a file that breaks the rules of an added format is refused, locally and at an origin, and its numbers are not trusted"
    )
    func damaged() throws {
        let (bytes, _) = try TrailerFormat.model(layers: 1)
        var long = bytes
        long[bytes.count - 16] = 0xFF
        for (name, bytes, fact) in [
            ("cut", Array(bytes.dropLast()), "does not end in TRAILER"), ("tiny", [1, 2, 3], "cut short"),
            ("long", Array(bytes.suffix(16)), "cut short"), ("directory", Array(long.dropFirst(1 << 20)), "cut short"),
        ] {
            try directory.write(bytes, to: "\(name)/weights.trailer")
            let here = #expect(throws: FormatError.self) {
                try store.importModelBlocking(ImportRequest(source: directory(name)))
            }
            #expect("\(here!)".contains(fact), "\(name): \(here!)")
            let hub = RecordingHub(path: "weights.trailer", bytes: bytes)
            store.register(scheme: "made") { _ in hub }
            var request = try PullRequest("org/\(name)")
            request.origin = hub.url
            let there = #expect(throws: FormatError.self) { try store.pullBlocking(request) }
            #expect(there?.problem == here?.problem, "\(name)")
        }
        #expect(try store.models().isEmpty)
    }

    @Test("the name of a format that this version does not know is kept, in manifests and in the catalog")
    func unknownFormat() throws {
        let digest = [UInt8]("12345".utf8).withUnsafeBytes { ContentDigest(of: $0) }
        let text = """
            weightstore manifest 1
            file \(digest) 5 pickle2 model.pkl
            shard \(digest) 5 7
            extent 0 0 5

            """
        let manifest = try Manifest(decoding: Array(text.utf8), path: "")
        #expect(manifest.files[0].content.format.rawValue == "pickle2")
        #expect(String(decoding: manifest.encoded(), as: UTF8.self) == text)
        let found = try store.catalog.write { db in
            for facts in manifest.files[0].content.shards { try ShardTable.expect(facts, db) }
            return try FileContent.find(manifest.files[0].content.save(db).file, db)
        }
        #expect(found?.format == manifest.files[0].content.format)
        // It is opaque: without tensors, and not read.
        let format = try #require(FileFormat(rawValue: "pickle2"))
        let layout = try FileLayout.read(MemorySource(name: "", bytes: [1, 2, 3]), format: format)
        #expect(layout == FileLayout(format: format, bytes: 3, tensors: [], metadata: [:]))
        #expect(
            FileFormat(rawValue: "") == nil && FileFormat(rawValue: "a b") == nil && FileFormat(rawValue: "a\n") == nil)
    }
}
