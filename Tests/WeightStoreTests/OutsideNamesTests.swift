import Glibc
import ModelFormats
import Support
import TestSupport
import Testing
@testable import WeightStore

/// Names from outside: two that differ in bytes are two, even if Unicode holds them equal, and none is lost.
@Suite(.blocking) struct OutsideNamesTests {
    private static let nfc = "caf\u{E9}"
    private static let nfd = "cafe\u{301}"

    let directory = try! TemporaryDirectory()

    private func store(_ name: String = "store") throws -> Store { try Store(at: directory(name), create: true) }

    /// Writes a file with exactly this name, which Foundation might normalize.
    private func write(_ bytes: [UInt8], to name: String) throws {
        try FileSystem.createDirectory(FileSystem.parent(of: directory(name)))
        let file = try FileDescriptor(directory(name), O_WRONLY | O_CREAT | O_EXCL)
        try bytes.withUnsafeBytes { try file.write($0, at: 0) }
    }

    private func read(_ path: String) throws -> [UInt8] { try FileSystem.read(path, limit: 1 << 20) }

    private func bytes(_ names: [String]) -> [[UInt8]] { names.map { Array($0.utf8) } }

    @Test(
        "two files whose names Unicode holds equal are imported, listed, exported and rebuilt",
        arguments: [false, true])
    func twinFiles(move: Bool) throws {
        let names = [Self.nfd, Self.nfc].flatMap { ["\($0).bin", "\($0)/x.json"] }.sorted {
            ByteText($0) < ByteText($1)
        }
        for (index, name) in names.enumerated() { try write([UInt8(index), 7], to: "model/\(name)") }
        let first = try store()
        var request = ImportRequest(source: directory("model"))
        request.move = move
        let summary = try first.importModelBlocking(request)
        #expect(summary.revisions.map(\.files) == [4])
        #expect(summary.moved == (move ? 4 : 0))

        func check(_ store: Store, _ out: String) throws {
            let revision = try store.revision("model")
            #expect(try bytes(revision.files().map(\.path)) == bytes(names))
            #expect(try bytes(revision.entries().map(\.path)) == bytes(names))
            try revision.exportBlocking(to: directory(out))
            for (index, name) in names.enumerated() {
                #expect(try read(directory("\(out)/\(name)")) == [UInt8(index), 7])
            }
            try revision.exportBlocking(to: directory(out + "-one"), paths: [names[1]])
            #expect(try bytes(FileSystem.entries(directory(out + "-one"))).count == 1)
        }
        try check(first, "out")
        #expect(try first.verifyBlocking().damage.isEmpty)
    }

    @Test("a ref whose name git refuses is replicated, read and moved, and no new one is made")
    func oldRefs() throws {
        let store = try store()
        try TestModel(layers: 1).write(to: directory("model"))
        try store.importModelBlocking(ImportRequest(source: directory("model"), name: "org/model"))
        let digest = try store.revision("org/model").digest
        for name in ["a..b", ".x", "y.lock", "z//"] {
            #expect(throws: StorageError.self) { try store.setRef(name, to: "org/model") }
            try store.setRefs([name: digest], of: "org/model")
            #expect(try store.revision("org/model@\(name)").digest == digest)
            try store.setRefs([name: digest], of: "org/model")
            try store.removeRef(name, of: "org/model")
        }
        for name in ["", "a b", "~1", "a@b", String(repeating: "a", count: 40)] {
            #expect(throws: StorageError.self) { try store.setRefs([name: digest], of: "org/model") }
        }
    }

    @Test("a rebuild has both of two files whose names Unicode holds equal, and names that begin with a combining mark")
    func rebuilt() throws {
        let names = [Self.nfc, Self.nfd, "\u{301}x", "\u{200D}y", "\u{FE0F}", "a/\u{338}b", "\u{600}.z"]
        for (index, name) in names.enumerated() { try write([UInt8(index)], to: "model/\(name)") }
        do {
            let store = try store()
            try store.importModelBlocking(ImportRequest(source: directory("model")))
        }
        let summary = try Store.rebuildBlocking(at: directory("store"))
        #expect(summary.lost.isEmpty && summary.revisions == 1)
        let store = try Store(at: directory("store"))
        #expect(
            try Set(store.revision("model").files().map { ByteText($0.path) }) == Set(names.map { ByteText($0) }))
    }

    @Test("two tensors whose names Unicode holds equal are two, with their own bytes")
    func twinTensors() throws {
        let names = [Self.nfc, Self.nfd].map { "model.layers.0.\($0)" }
        let writer = try SafetensorsWriter(names.map { .init(name: $0, dtype: "U8", shape: [8]) })
        var file = writer.header
        for tensor in writer.tensors {
            file += [UInt8](repeating: tensor.name.utf8.elementsEqual(names[0].utf8) ? 1 : 2, count: 8)
        }
        try write(file, to: "model/model.safetensors")
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        #expect(try Set(revision.tensorEntries().map { ByteText($0.name) }) == Set(names.map { ByteText($0) }))
        for (index, name) in names.enumerated() {
            #expect(
                try revision.tensor(name).bytes.withUnsafeBytes { Array($0) }
                    == [UInt8](repeating: UInt8(index + 1), count: 8))
            let lease = try revision.leaseBlocking(tensor: name, in: .ram)
            #expect(lease.tensors.count == 1)
            #expect(try lease.withUnsafeBytes(of: lease.tensor(name)) { $0.first } == UInt8(index + 1))
            lease.release()
        }
    }

    @Test("a file with NUL in the name of a tensor is refused, not cut short")
    func nul() throws {
        let json =
            #"{"w\u0000one":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w\u0000two":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#
        let header = withUnsafeBytes(of: UInt64(json.utf8.count).littleEndian, Array.init) + Array(json.utf8)
        try write(header + [1, 2], to: "model/model.safetensors")
        let store = try store()
        #expect(throws: FormatError.self) { try store.importModelBlocking(ImportRequest(source: directory("model"))) }
    }

    @Test(
        "names of revisions with other digits than ASCII's are not found, and cause no trap",
        arguments: [
            "\u{FF11}\u{FF12}\u{FF13}\u{FF14}\u{FF15}\u{FF16}", "v\u{FF11}", "~\u{FF11}", "v9223372036854775808",
            "~99999999999999999999", String(repeating: "\u{FF11}", count: 40), "sha256:\u{FF11}\u{FF12}", "\u{301}", "",
            "v\u{301}1", "@", "\u{0}", "aaaaaa\u{301}",
        ])
    func revisions(name: String) throws {
        try write(Array("{}".utf8), to: "model/config.json")
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        #expect(throws: (any Error).self) { try store.revision("model@\(name)") }
        if !name.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) {
            #expect(throws: (any Error).self) { try store.setRef(name, to: "model") }
        }
    }

    @Test("a ref has the syntax of git's, and none that is a path out of a directory")
    func refs() throws {
        try write(Array("{}".utf8), to: "model/config.json")
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let refused = ["..", ".", ".a", "a.", "a..b", "a/", "/a", "a//b", "a/../b", "a/.b", "a.lock", "a.lock/b"]
        for ref in refused {
            #expect(throws: StorageError.self, "\(ref)") { try store.setRef(ref, to: "model@~1") }
        }
        for ref in ["refs/pr/1", "v1.0", "a.b/c-d", "-", "lock"] { try store.setRef(ref, to: "model@~1") }
    }

    @Test("random names of models, refs and revisions are refused or found, and cause no trap")
    func randomNames() throws {
        try write(Array("{}".utf8), to: "model/config.json")
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let pieces = [
            "model", "@", "v1", "~1", "/", ".", "-", "main", "\u{FF11}", "\u{301}", "\u{0}", "sha256:", "abcdef",
        ]
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 0...6)).map { _ in pieces.randomElement() ?? "" }.joined()
            _ = try? store.revision(text)
            if let name = try? ModelName.check(text) { #expect(name.isASCIIWord(and: "._-/")) }
            if let ref = try? RefName.check(text) { #expect(ref.utf8.allSatisfy { 0x20..<0x7F ~= $0 }) }
            _ = try? PullRequest(text)
        }
    }

    @Test("random names of files survive an import, an export and a rebuild")
    func randomFiles() throws {
        let pieces = [
            "a", ".", "\u{301}", "\u{E9}", "e\u{301}", " ", "\n", "\r", "\\", "\"", "\u{1F600}", "\u{200D}", "-", "\t",
        ]
        var names: Set<ByteText> = []
        for _ in 0..<200 {
            let name = (0..<Int.random(in: 1...8)).map { _ in pieces.randomElement() ?? "" }.joined()
            guard RelativePath.isValid(name), names.insert(ByteText(name)).inserted else { continue }
            try write(Array(name.utf8), to: "model/\(name)")
        }
        do {
            let store = try store()
            try store.importModelBlocking(ImportRequest(source: directory("model")))
        }
        try Store.rebuildBlocking(at: directory("store"))
        let store = try Store(at: directory("store"))
        let revision = try store.revision("model")
        #expect(try Set(revision.files().map { ByteText($0.path) }) == names)
        try revision.exportBlocking(to: directory("out"))
        for name in names { #expect(try read(directory("out/\(name)")) == Array(name.text.utf8)) }
    }

    @Test("a hub that lists two paths that Unicode holds equal is pulled with both")
    func pulled() throws {
        let hub = TwoFiles(paths: [Self.nfc, Self.nfd])
        let store = try store()
        store.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        #expect(try store.pullBlocking(request).files == 2)
        let revision = try store.revision("org/model")
        for (index, path) in hub.paths.enumerated() {
            var found: [UInt8] = []
            try revision.read(path) { found += $0 }
            #expect(found == [UInt8(index), 1, 2])
        }
    }

    @Test("a hub that lists a path twice, or sizes that do not fit, is refused", arguments: [0, 1, 2])
    func badListing(which: Int) throws {
        let hub = TwoFiles(
            paths: which == 0 ? ["a", "a"] : ["a", "b"],
            sizes: which == 1 ? [-1, 3] : which == 2 ? [.max, .max] : [3, 3])
        let store = try store()
        store.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        #expect(throws: FetchError.self) { try store.pullBlocking(request) }
    }

    /// A hub with two files that have no published digest.
    private struct TwoFiles: ModelOrigin {
        let url = "made://hub"
        let paths: [String]
        var sizes = [3, 3]

        func listing(of model: String, at revision: String, _ work: Work) throws -> RemoteRevision {
            let commit = String(repeating: "c", count: 40)
            return RemoteRevision(
                model: model, commit: commit,
                files: zip(paths, sizes).map {
                    RemoteFile(model: model, commit: commit, path: $0, bytes: $1, digest: nil, gitObject: nil)
                })
        }

        func read(_ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work) throws {
            let index = paths.firstIndex { ByteText($0) == ByteText(file.path) } ?? 0
            buffer.copyBytes(from: [UInt8(index), 1, 2][offset..<offset + buffer.count])
        }

        func fetch(_ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void) throws {
        }
    }

    // MARK: Sources of imports

    private let commit = String(repeating: "a", count: 40)

    private func cache() throws {
        try write([1], to: "hub/models--org--name/snapshots/\(commit)/config.json")
        try write(Array(commit.utf8), to: "hub/models--org--name/refs/main")
    }

    @Test("files in refs/ of a cache that are no refs are skipped with a reason")
    func cacheRefs() throws {
        try cache()
        for name in ["a b", "caf\u{E9}", "x@y", "\u{301}"] {
            try write(Array(commit.utf8), to: "hub/models--org--name/refs/\(name)")
        }
        try write([UInt8](repeating: 0x20, count: 1 << 20), to: "hub/models--org--name/refs/large")
        #expect(mkfifo(directory("hub/models--org--name/refs/fifo"), 0o600) == 0)
        let store = try store()
        let summary = try store.importModelBlocking(ImportRequest(source: directory("hub")))
        #expect(summary.revisions.map(\.refs) == [["main"]])
        #expect(summary.skipped.count == 6)
        #expect(try store.revision("org/name@main").version == 1)
    }

    @Test("links to directories with 2^24 different paths are refused")
    func doubledLinks() throws {
        try write([1], to: "model/d24/config.json")
        for level in 0..<24 {
            try FileSystem.createDirectory(directory("model/d\(level)"))
            for name in ["x", "y"] { #expect(symlink("../d\(level + 1)", directory("model/d\(level)/\(name)")) == 0) }
        }
        #expect { try ImportRequest(source: directory("model")).plan() } throws: { error in
            "\(error)".contains("directories behind links")
        }
    }

    @Test("an index, a policy or a ref that is too large to read is refused before it is read")
    func tooLarge() throws {
        try TestModel(layers: 1).write(to: directory("model"))
        let index = directory("model/model.safetensors.index.json")
        try FileDescriptor(index, O_RDWR | O_CREAT).truncate(to: 2 << 40)
        let store = try store()
        #expect(throws: FileError.tooLarge(path: index, limit: SafetensorsIndex.maximumBytes)) {
            try store.importModelBlocking(ImportRequest(source: directory("model")))
        }
        try FileDescriptor(directory("p.sql"), O_RDWR | O_CREAT).truncate(to: 2 << 40)
        #expect(throws: StorageError.self) { try Policy(file: directory("p.sql")) }
        // /dev/zero has no end.
        #expect(throws: FileError.tooLarge(path: "/dev/zero", limit: 1 << 20)) {
            try FileSystem.read("/dev/zero", limit: 1 << 20)
        }
    }

    @Test("a directory with neither weights nor a config.json is refused if it must be a model")
    func noModel() throws {
        try write(Array("root:x:0:0".utf8), to: "etc/passwd")
        try write([], to: "etc/empty")
        try write([], to: "etc/.bin")
        let store = try store()
        var request = ImportRequest(source: directory("etc"))
        #expect(try request.plan().map(\.isModel) == [false])
        request.mustBeModel = true
        #expect { try store.importModelBlocking(request) } throws: { error in
            guard case StorageError.invalid("directory to import", let source, _) = error else { return false }
            return source.hasSuffix("/etc")
        }
        #expect(try store.models().isEmpty)
        for (name, bytes) in [
            ("config.json", Array("{}".utf8)), ("sub/config.json", Array("{}".utf8)), ("x.gguf", [0]),
            ("sha256-77", Array("GGUF\u{3}\0\0\0\0\0\0\0".utf8)),
            ("blob", [2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8)),
            // Of formats without a reader.
            ("model.onnx", [8]), ("saved_model/saved_model.pb", [8]), ("Weights.TFLITE", [0]),
            ("x.mlpackage/Data/weight.bin", [0]),
            ("epoch.pth.tar", [0]), ("lid.176.ftz", [0]), ("hed.weights.h5", [0]),
        ] {
            let place = "model-\(ByteText(name).hashValue)"
            try write(bytes, to: "\(place)/\(name)")
            #expect(try ImportRequest(source: directory(place)).plan().map(\.isModel) == [true], "\(name)")
        }
        #expect(try ImportRequest(source: directory("etc/passwd")).plan().map(\.isModel) == [true])
    }

    @Test("sizes that no sum can hold are refused")
    func sparse() throws {
        try TestModel(layers: 1).write(to: directory("model"))
        for name in ["a.bin", "b.bin"] {
            // tmpfs and XFS allow such a file, ext4 does not.
            do {
                try FileDescriptor(directory("model/\(name)"), O_RDWR | O_CREAT).truncate(to: Int.max - 4096)
            } catch {
                return
            }
        }
        #expect(throws: StorageError.self) { try ImportRequest(source: directory("model")).plan() }
    }

    /// Creates a file whose name is any bytes.
    private func create(_ name: [UInt8], in parent: String) throws {
        try FileSystem.createDirectory(directory(parent))
        let path = (Array(directory(parent).utf8) + [UInt8(ascii: "/")] + name).map { CChar(bitPattern: $0) } + [0]
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o644)
        try #require(descriptor >= 0)
        close(descriptor)
    }

    private static let odd: [[UInt8]] = [[0x61, 0xFF], [0x61, 0xFE], [0xC3], [0xED, 0xA0, 0x80]]

    @Test("names that are not UTF-8 are distinguished, and name no other file")
    func notUTF8() throws {
        for name in Self.odd { try create(name, in: "model") }
        try write([1], to: "model/a\u{FFFD}")
        let entries = try FileSystem.listing(directory("model"))
        #expect(bytes(entries.names) == bytes(["a\u{FFFD}"]))
        #expect(entries.undecodable == [#"\xC3"#, #"\xED\xA0\x80"#, #"a\xFE"#, #"a\xFF"#])
        let store = try store()
        #expect {
            try store.importModelBlocking(ImportRequest(source: directory("model")))
        } throws: { error in
            guard case StorageError.invalid("file name", let value, let reason) = error else { return false }
            return value.hasSuffix(#"/model/\xC3"#) && reason.contains("not UTF-8")
        }
        try FileSystem.removeTree(directory("model"))
        #expect(!FileSystem.exists(directory("model")))
        // A name that has U+FFFD itself is an ordinary name, and a link to a name that is not UTF-8 is skipped.
        try write([1], to: "model/a\u{FFFD}")
        try create([0xFF], in: "aside")
        let target = (Array(directory("aside/").utf8) + [0xFF]).map { CChar(bitPattern: $0) } + [0]
        #expect(symlink(target, directory("model/link")) == 0)
        let summary = try store.importModelBlocking(ImportRequest(source: directory("model")))
        #expect(summary.revisions.map(\.files) == [1])
        #expect(try bytes(store.revision("model").files().map(\.path)) == bytes(["a\u{FFFD}"]))
    }

    @Test("a file in a store whose name is not UTF-8 is reported, and no other file is removed for it")
    func notUTF8InStore() throws {
        try create([0xFF], in: "occupied")
        #expect(throws: StorageError.self) { try self.store("occupied") }
        let store = try store()
        try write([1], to: "model/a.bin")
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let digest = try #require(try store.revision("model").files().first?.digest)
        let folder = "store/blobs/\(digest.hex.prefix(2))"
        for parent in [folder, "store/quarantine", "store/staging", "store/partial", "store/leases"] {
            for name in Self.odd { try create(name, in: parent) }
        }
        // Its name would become that of a file which a collection removes.
        let twin = "store/quarantine/\(digest.hex)\u{FFFD}"
        try create(Array(digest.hex.utf8) + [0xFF], in: "store/quarantine")
        try create([0xFF], in: "store/staging/1-1")
        let summary = try store.collectGarbage(graceSeconds: 0)
        for name in [#"\xC3"#, #"a\xFE"#, #"a\xFF"#] {
            #expect(summary.unknownFiles.contains(directory("\(folder)/\(name)")), "\(summary.unknownFiles)")
            #expect(summary.unknownFiles.contains(directory("store/staging/\(name)")))
        }
        #expect(!FileSystem.exists(directory("store/staging/1-1")))
        #expect(!FileSystem.exists(directory(twin)))
        for parent in [folder, "store/quarantine", "store/staging", "store/partial", "store/leases"] {
            #expect(try FileSystem.listing(directory(parent)).undecodable.count >= Self.odd.count)
        }
        #expect(try store.verifyBlocking().damage.isEmpty)
        #expect(try read(store.blobPath(digest)) == [1])
    }
}
