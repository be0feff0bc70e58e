import Foundation
import GRDB
import ModelFormats
import TestSupport
import Testing
@testable import WeightStore

/// Manifests from elsewhere: nothing of one is used before all of it was checked.
@Suite(.blocking) struct ManifestTests {
    private static let one = String(repeating: "1", count: 64)
    private static let two = String(repeating: "2", count: 64)
    private static let big = Int.max
    private static let most = 1 << 48

    /// A hostile manifest, without its first line; and a part of the refusal.
    struct Hostile: CustomTestStringConvertible {
        let name: String
        let text: String
        let refusal: String
        var testDescription: String { name }

        init(_ name: String, _ refusal: String, _ lines: String...) {
            self.name = name
            self.refusal = refusal
            text = lines.joined(separator: "\n") + "\n"
        }
    }

    private static func file(_ bytes: Int, _ path: String = "f", _ digest: String = one) -> String {
        "file \(digest) \(bytes) other \(path)"
    }

    private static func shard(_ bytes: Int, _ digest: String = two) -> String { "shard \(digest) \(bytes) 7" }

    static let hostile = [
        Hostile(
            "extent behind the shard", "line 4: the extent ends at 200000, its shard at 4096",
            file(200_000), shard(4096), "extent 0 0 200000"),
        Hostile(
            "negative offset", "line 4: offset in a shard: \"-100000\"", file(4096), shard(4096),
            "extent 0 -100000 4096"),
        Hostile("negative length", "length of an extent", file(4096), shard(4096), "extent 0 0 -4096"),
        Hostile("length 0", "no bytes", file(0), shard(4096), "extent 0 0 0"),
        Hostile(
            "offset and length overflow", "line 4: end of an extent", file(4096), shard(4096),
            "extent 0 \(big) \(big)"),
        Hostile(
            "extents overflow", "the extents have", file(most), shard(most), "extent 0 0 \(most)", "extent 0 0 \(most)"),
        Hostile("file of 2^63-1 bytes", "line 2: the files have", file(big)),
        Hostile("shard of 2^63-1 bytes", "line 3: the shards have", file(4096), shard(big)),
        Hostile(
            "files overflow", "line 5: the files have", file(most, "a"), shard(most), "extent 0 0 \(most)",
            file(1, "b")),
        Hostile(
            "shards overflow", "line 4: the shards have", file(2), shard(most), shard(1, one)),
        Hostile("number beyond 64 bits", "bytes of a file", "file \(one) 9223372036854775808 other f"),
        Hostile("full-width digits", "bytes of a file", "file \(one) \u{FF11}\u{FF12} other f"),
        Hostile("sign", "bytes of a file", "file \(one) +5 other f"),
        Hostile(
            "extents too short", "the extents of \"f\" have 100 bytes, the file 4096", file(4096), shard(4096),
            "extent 0 0 100"),
        Hostile(
            "extents too long", "the extents have 8192 bytes", file(4096), shard(4096), "extent 0 0 4096",
            "extent 0 0 4096"),
        Hostile("no extents", "have 0 bytes", file(4096)),
        Hostile(
            "shard that is not there", "the extent names shard 1; the file has 1", file(4096), shard(4096),
            "extent 1 0 4096"),
        Hostile("shard without bytes", "no bytes", file(0), shard(0)),
        Hostile("second file of a path", "\"f\" is listed twice", file(0), file(0)),
        Hostile("file that is a directory", "a directory of \"f/g\"", file(0), file(0, "f/g")),
        Hostile("parent", "path \"../x\"", file(0, "../x")),
        Hostile("parent inside", "path \"a/../../x\"", file(0, "a/../../x")),
        Hostile("absolute", "path \"/etc/passwd\"", file(0, "/etc/passwd")),
        Hostile("empty part", "path \"a//b\"", file(0, "a//b")),
        Hostile("no path", "path \"\"", file(0, "")),
        Hostile("dot", "path \"./a\"", file(0, "./a")),
        Hostile("NUL", "path", file(0, "a\0b")),
        Hostile("long path", "path", file(0, String(repeating: "a/", count: 2048) + "b")),
        Hostile(
            "second tensor of a name", "tensor \"t\" is listed twice", file(8), shard(8), "extent 0 0 8",
            "tensor U8 4 0 4 t", "tensor U8 4 0 4 t"),
        Hostile(
            "tensors that overlap", "before the end of another", file(8), shard(8), "extent 0 0 8", "tensor U8 8 0 8 t",
            "tensor U8 4 0 4 u"),
        Hostile(
            "tensor behind the file", "the tensor ends at 12", file(8), shard(8), "extent 0 0 8", "tensor U8 12 0 12 t"),
        Hostile("tensor overflow", "end of a tensor", file(8), shard(8), "extent 0 0 8", "tensor U8 4 \(big) \(big) t"),
        Hostile(
            "tensor in the middle of an extent", "no extent begins at 4", file(8), shard(8), "extent 0 0 8",
            "tensor U8 4 4 4 t"),
        Hostile(
            "tensor beyond its extent", "its extent 4", file(8), shard(8), "extent 0 0 4", "extent 0 4 4",
            "tensor U8 8 0 8 t"),
        Hostile("negative dimension", "size of a dimension", file(8), shard(8), "extent 0 0 8", "tensor U8 -8 0 8 t"),
        Hostile("NUL in a tensor", "NUL", file(8), shard(8), "extent 0 0 8", "tensor U8 8 0 8 t\0u"),
        Hostile("shard of a pending file", "pending", "pending \(one) 8 other f", shard(8)),
        Hostile("short digest", "SHA-256", "file 1234 0 other f"),
        Hostile("full-width digest", "SHA-256", file(0, "f", String(repeating: "\u{FF11}", count: 64))),
        Hostile("extent before a file", "unexpected", "extent 0 0 1"),
        Hostile("shard after an extent", "after a later part", file(8), shard(8), "extent 0 0 8", shard(8)),
        Hostile("second commit", "unexpected", "commit \(String(one.prefix(40)))", "commit \(String(one.prefix(40)))"),
        Hostile("unknown line", "unexpected", "link a b"),
    ]

    @Test("a manifest whose parts do not fit together is refused, with the line and the value", arguments: hostile)
    func refused(_ hostile: Hostile) throws {
        let text = "weightstore manifest 1\n" + hostile.text
        let error = #expect(throws: StorageError.self) { try Manifest(decoding: Array(text.utf8), path: "here") }
        guard case .invalid("manifest", "here", let reason)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("line ") && reason.contains(hostile.refusal), "\(reason)")
    }

    /// An origin of one manifest, and of zeros as the bytes of any shard.
    private struct Peer: ManifestOrigin {
        let url = "hostile://peer"
        let text: [UInt8]

        var digest: ContentDigest { text.withUnsafeBytes { ContentDigest(of: $0) } }

        func manifest(_ digest: ContentDigest, _ work: Work) throws -> [UInt8] { text }

        func fetch(
            _ request: ShardRequest, _ work: Work,
            _ body: (_ shardOffset: Int, UnsafeRawBufferPointer) throws -> Void
        ) throws {
            let zeros = [UInt8](repeating: 0, count: request.bytes - request.start)
            try zeros.withUnsafeBytes { try body(request.start, $0) }
        }
    }

    private func pull(_ text: String, into store: Store, as model: String) throws -> PullSummary {
        let peer = Peer(text: Array(text.utf8))
        store.register(scheme: "hostile") { _ in peer }
        var request = try PullRequest("\(model)@\(peer.digest.hex)")
        request.origin = peer.url
        return try store.pullBlocking(request)
    }

    @Test("a pull of a hostile manifest is refused and leaves nothing behind")
    func pulled() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(at: directory("store"), create: true)
        for hostile in Self.hostile {
            #expect(throws: StorageError.self, "\(hostile.name)") {
                try pull("weightstore manifest 1\n" + hostile.text, into: store, as: "e/vil")
            }
        }
        #expect(try store.models().isEmpty)
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
    }

    @Test("a shard whose stored size differs from the manifest's is refused")
    func otherSize() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(at: directory("store"), create: true)
        try directory.write([UInt8](repeating: 0, count: 4096), to: "model/zeros")
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let digest = [UInt8](repeating: 0, count: 4096).withUnsafeBytes { ContentDigest(of: $0) }
        let text = """
            weightstore manifest 1
            \(Self.file(8192))
            \(Self.shard(8192, digest.hex))
            extent 0 0 8192

            """
        #expect(throws: StorageError.self) { try pull(text, into: store, as: "e/vil") }
        #expect(try store.models().map(\.name) == ["model"])
    }

    @Test(
        "the digest of a file that only a manifest names never replaces the bytes of an import",
        arguments: [true, false])
    func poisoned(isRemembered: Bool) throws {
        let directory = try TemporaryDirectory()
        let store = try Store(at: directory("store"), create: true)
        let real = Array("the real bytes".utf8)
        try directory.write(real, to: "model/config.json")
        if isRemembered {
            Thread.sleep(forTimeInterval: 0.2)
            try store.importModelBlocking(ImportRequest(source: directory("model"), name: "my/first"))
            try store.remove(["my/first"])
        }
        let zeros = [UInt8](repeating: 0, count: 14)
        let text = """
            weightstore manifest 1
            \(Self.file(14, "config.json", real.withUnsafeBytes { ContentDigest(of: $0) }.hex))
            \(Self.shard(14, zeros.withUnsafeBytes { ContentDigest(of: $0) }.hex))
            extent 0 0 14

            """
        #expect(try pull(text, into: store, as: "e/vil").complete)
        var request = ImportRequest(source: directory("model"), name: "my/model")
        request.move = true
        try store.importModelBlocking(request)
        #expect(try store.revision("my/model").bytes(of: "config.json") == real)
        #expect(throws: StorageError.self) { try store.revision("e/vil").bytes(of: "config.json") }
        try store.remove(["e/vil"])
        _ = try store.collectGarbage(graceSeconds: 0)
        #expect(try store.revision("my/model").bytes(of: "config.json") == real)
    }

    @Test(
        "names that begin with a combining character, and names that are equal in Unicode alone, are kept as they are")
    func names() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(at: directory("store"), create: true)
        let names = [
            "cafe\u{301}.bin", "caf\u{E9}.bin", "\u{301}x.bin", "\u{200D}y.bin", "\u{FE0F}", "d/\u{301}z", "line\nfeed",
            "back\\slash", " space ", "\r\n",
        ]
        try directory.write("", to: "model/d/empty")
        for (index, name) in names.enumerated() {
            // Foundation may change a name.
            let file = try FileDescriptor(directory("model/") + name, O_WRONLY | O_CREAT)
            try Array("\(index)".utf8).withUnsafeBytes { try file.write($0, at: 0) }
        }
        let tensors = ["\u{301}t", "\u{200D} t", "a\u{FE0F}"].map {
            SafetensorsWriter.Tensor(name: $0, dtype: "U8", shape: [4])
        }
        try directory.write(TestModel(layers: 1).file(tensors), to: "model/model.safetensors")
        var request = ImportRequest(source: directory("model"))
        request.move = true
        try store.importModelBlocking(request)
        let text = try #require(try store.manifest(store.revision("model").digest)).all()
        let manifest = try Manifest(decoding: text, path: "")
        #expect(manifest.encoded() == text)
        let paths = manifest.files.map { Array($0.path.utf8) }
        #expect(paths.count == names.count + 2)
        #expect(names.allSatisfy { paths.contains(Array($0.utf8)) })
        #expect(paths == paths.sorted { $0.lexicographicallyPrecedes($1) })
        #expect(manifest.files.flatMap(\.content.tensors).count == 3)
        for (index, name) in names.enumerated() {
            #expect(try store.revision("model").bytes(of: name) == Array("\(index)".utf8), "\(name)")
        }
    }
}

extension Revision {
    fileprivate func bytes(of path: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try read(path) { bytes += $0 }
        return bytes
    }
}
