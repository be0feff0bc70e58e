import Foundation
import GRDB
import TestSupport
import Testing
@testable import WeightStore

/// `import --move`: a source file is removed only when exactly its bytes are durable in a committed revision.
@Suite(.blocking) struct MoveTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
    }

    private func request(_ name: String = "model", move: Bool, files: Int = 1) -> ImportRequest {
        var request = ImportRequest(source: directory(name))
        request.move = move
        request.batch.files = files
        return request
    }

    /// Files below a directory, with their bytes.
    private func files(_ name: String) throws -> [String: [UInt8]] {
        try Dictionary(
            uniqueKeysWithValues: TemporaryDirectory.files(below: directory(name)).map {
                ($0, try contents(directory("\(name)/\($0)")))
            })
    }

    private func stored(_ revision: String) throws -> [String: [UInt8]] {
        let revision = try store.revision(revision)
        return try Dictionary(
            uniqueKeysWithValues: revision.files().map { file in
                var bytes: [UInt8] = []
                try revision.read(file.path) { bytes += $0 }
                return (file.path, bytes)
            })
    }

    private func moves() throws -> Int {
        try store.catalog.read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM move") ?? 0 }
    }

    /// A model of which `config.json` was moved, before the import failed at the next file.
    private func interrupted() throws -> [String: [UInt8]] {
        try TestModel(layers: 1).write(to: directory("model"))
        let all = try files("model")
        let weights = try #require(all["model.safetensors"])
        try directory.write(weights.dropLast(100), to: "model/model.safetensors")
        #expect(throws: FormatError.self) { try store.importModelBlocking(request(move: true)) }
        #expect(try files("model").keys.sorted() == ["model.safetensors", "tokenizer/vocab.txt"])
        try directory.write(weights, to: "model/model.safetensors")
        return all
    }

    /// An origin of a program, which reads a directory.
    private struct LocalOrigin: Origin {
        let url: String
        let files: DirectoryOrigin
        var localDirectory: String? { files.localDirectory }

        func fetch(
            _ request: ShardRequest, _ work: Work, _ body: (_ shardOffset: Int, UnsafeRawBufferPointer) throws -> Void
        ) throws {
            try files.fetch(request, work, body)
        }
    }

    @Test(
        "an origin from which a move removes files is checked again before an eviction relies on it",
        arguments: ["file", "local"])
    func origin(scheme: String) throws {
        store.register(scheme: "local") { url in
            LocalOrigin(url: url, files: try DirectoryOrigin("file" + url.dropFirst("local".count)))
        }
        try TestModel(layers: 1).write(to: directory("model"))
        let all = try files("model")
        var first = request(move: false)
        first.name = "first"
        var second = request(move: true)
        (first.origins, second.origins) = (["\(scheme)://" + directory("model")], ["\(scheme)://" + directory("model")])
        try store.importModelBlocking(first)
        #expect(throws: StorageError.self) { try store.importModelBlocking(second) }
        #expect(try files("model") == all)
        second.origins = []
        try store.importModelBlocking(second)
        #expect(try files("model").isEmpty)
        #expect(try store.revisionOrigins().allSatisfy { $0.checked == nil })
        #expect(try store.evictBlocking(EvictionRequest(.downTo(0))).shards == 0)
        #expect(try stored("first") == all && stored("model") == all)
    }

    @Test(
        "after any import of the rest of an interrupted move, the revision has the files that were moved",
        arguments: [true, false])
    func resumed(move: Bool) throws {
        let all = try interrupted()
        _ = try store.collectGarbage(graceSeconds: 0)
        let summary = try store.importModelBlocking(request(move: move))
        #expect(summary.revisions.map(\.files) == [3] && summary.revisions.map(\.version) == [1])
        _ = try store.collectGarbage(graceSeconds: 0)
        #expect(try stored("model") == all)
        #expect(try files("model").isEmpty == move)
        #expect(try moves() == (move ? 0 : 1))
        if move { return }
        // The directory still lacks the moved file: importing it again, or moving the rest, changes nothing.
        for move in [false, true] {
            let again = try store.importModelBlocking(request(move: move))
            #expect(again.revisions.map(\.digest) == summary.revisions.map(\.digest) && again.revisions[0].wasKnown)
            _ = try store.collectGarbage(graceSeconds: 0)
            #expect(try stored("model") == all)
        }
        #expect(try files("model").isEmpty)
        #expect(try moves() == 0)
        #expect(try store.revisions(of: "model").count == 1)
    }

    @Test("a file that changed since an interrupted move replaces the one that was moved")
    func edited() throws {
        var all = try interrupted()
        try directory.write("new", to: "model/config.json")
        all["config.json"] = Array("new".utf8)
        try store.importModelBlocking(request(move: true))
        #expect(try stored("model") == all)
    }

    @Test("an unfinished revision is kept if the next one lacks one of its files")
    func kept() throws {
        _ = try interrupted()
        let digest = try #require(try store.revisions(of: "model").first?.digest)
        try FileManager.default.removeItem(atPath: directory("model"))
        var other = TestModel(layers: 2, seed: 5)
        other.others["config.json"] = "{}"
        try other.write(to: directory("model"))
        let all = try files("model")
        let summary = try store.importModelBlocking(request(move: true))
        // Another model at the same path: nothing of the first is merged into it, and nothing of the first is lost.
        #expect(summary.skipped.contains { $0.reason.contains("that revision stays") })
        #expect(try stored("model") == all)
        _ = try store.collectGarbage(graceSeconds: 0)
        #expect(try stored("model@\(digest.hex)")["config.json"] != nil)
    }

    @Test("an import that neither continues an interrupted move nor is another model is refused, and nothing is lost")
    func ambiguous() throws {
        _ = try interrupted()
        for name in ["model.safetensors", "tokenizer/vocab.txt"] { try directory.write("other", to: "model/\(name)x") }
        try FileManager.default.removeItem(atPath: directory("model/tokenizer/vocab.txt"))
        let before = try files("model")
        for move in [true, false] {
            let error = #expect(throws: StoreError.self) { try store.importModelBlocking(request(move: move)) }
            guard case .moveInterrupted(let source, _)? = error, source == directory("model") else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
        #expect(try files("model") == before)
        // Nor is the rest of it another model.
        try interruptedRest()
    }

    private func interruptedRest() throws {
        try FileManager.default.removeItem(atPath: directory("model"))
        try store.remove(["model@\(try #require(try store.revisions(of: "model").first?.digest.hex))"])
        _ = try interrupted()
        var other = request(move: false)
        other.name = "other"
        #expect(throws: StoreError.self) { try store.importModelBlocking(other) }
    }

    /// Gives the move of a complete revision its rows again, as a process leaves them that is killed before its last
    /// unlink, and links files back.
    private func leave(_ names: [String], of revision: String) throws {
        try store.catalog.write { db in
            let row = try RevisionRow.find(revision, db)
            let move = try MoveTable.add(source: directory("model"), revision: row.id, db)
            for name in names {
                try FileSystem.createDirectory(FileSystem.parent(of: directory("model/\(name)")))
                try FileManager.default.linkItem(atPath: directory("kept/\(name)"), toPath: directory("model/\(name)"))
                let status = try #require(try FileSystem.status(directory("model/\(name)")))
                let digest = try contents(directory("model/\(name)")).withUnsafeBytes { ContentDigest(of: $0) }
                try MoveTable.save(.init(location: directory("model/\(name)"), status, digest: digest), of: move, db)
            }
        }
    }

    private func movedWithCopy() throws -> [String: [UInt8]] {
        try TestModel(layers: 1).write(to: directory("model"))
        try FileManager.default.copyItem(atPath: directory("model"), toPath: directory("kept"))
        let all = try files("model")
        try store.importModelBlocking(request(move: true))
        #expect(try files("model").isEmpty)
        #expect(try moves() == 0)
        return all
    }

    @Test("leftovers of a finished move are removed and do not become a revision", arguments: [true, false])
    func leftovers(move: Bool) throws {
        let all = try movedWithCopy()
        try leave(["tokenizer/vocab.txt", "config.json"], of: "model")
        let summary = try store.importModelBlocking(request(move: move))
        #expect(summary.moved == 2)
        #expect(summary.revisions.map(\.files) == [3] && summary.revisions[0].wasKnown)
        #expect(try files("model").isEmpty)
        #expect(try moves() == 0)
        #expect(try store.revisions(of: "model").count == 1)
        #expect(try stored("model") == all)
    }

    @Test(
        "an import into another model is refused as long as files of an interrupted move are there",
        arguments: [true, false])
    func anotherModel(move: Bool) throws {
        let all = try movedWithCopy()
        try leave(["config.json", "tokenizer/vocab.txt"], of: "model")
        // Only the times differ from those that the move has read.
        for path in try files("model").keys { chmod(directory("model/\(path)"), 0o640) }
        var other = request(move: move)
        other.name = "other"
        let error = #expect(throws: StoreError.self) { try store.importModelBlocking(other) }
        guard case .moveIntoAnother(directory("model"), "model")? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        // The import of a directory above, or in the source, is one of other paths, under its own name and that of the
        // model.
        for (source, name) in [
            (directory.path, nil), (directory.path, "model"), (directory("model/tokenizer"), "model"),
        ] as [(String, String?)] {
            var part = request(move: move)
            (part.source, part.name) = (source, name)
            #expect(throws: StoreError.moveIntoAnother(source: directory("model"), model: "model"), "\(source)") {
                try store.importModelBlocking(part)
            }
        }
        #expect(try files("model").keys.sorted() == ["config.json", "tokenizer/vocab.txt"])
        // Once the move is complete, other files of the directory are another model.
        try store.importModelBlocking(request(move: true))
        try TestModel(layers: 1).write(to: directory("model"))
        try store.importModelBlocking(other)
        #expect(try stored("model") == all && stored("other") == all)
    }

    @Test("a leftover is not removed if it changed, if its stored bytes are damaged, or if the revision was removed")
    func notRemoved() throws {
        let all = try movedWithCopy()
        try leave(["config.json", "model.safetensors"], of: "model")
        // Other bytes of the same size, and the old times.
        let status = try #require(try FileSystem.status(directory("model/config.json")))
        let text = try #require(all["config.json"]).reversed()
        try Data(text).write(to: URL(fileURLWithPath: directory("kept/config.json")))
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: directory("model/config.json")))
        try file.write(contentsOf: Data(text))
        try file.close()
        var times = [timespec(), timespec()]
        for index in times.indices {
            times[index].tv_sec = Int(status.modified / 1_000_000_000)
            times[index].tv_nsec = Int(status.modified % 1_000_000_000)
        }
        #expect(utimensat(AT_FDCWD, directory("model/config.json"), times, 0) == 0)
        let shards = try store.revision("model").tensorEntries().compactMap(\.shard)
        try FileManager.default.removeItem(atPath: store.blobs.path(try #require(shards.first)))
        let found = try store.catalog.read { db in try MoveTable.all(in: directory("model"), db) }
        var remover = SourceRemover(store: store)
        try remover.remove(try #require(found.first), isCurrent: false)
        #expect(remover.removed.isEmpty && remover.skipped.count == 2)
        #expect(try files("model").keys.sorted() == ["config.json", "model.safetensors"])
        try store.remove(["model"])
        try remover.remove(try #require(found.first), isCurrent: false)
        #expect(remover.removed.isEmpty)
        #expect(try moves() == 0)
    }

    @Test("a file whose shards were evicted is not removed: the origin that has them may be the source itself")
    func evicted() throws {
        let all = try movedWithCopy()
        try leave(["model.safetensors"], of: "model")
        try store.catalog.write { db in try db.execute(sql: "UPDATE shard SET state = 'evicted'") }
        let found = try store.catalog.read { db in try MoveTable.all(in: directory("model"), db) }
        var remover = SourceRemover(store: store)
        try remover.remove(try #require(found.first), isCurrent: false)
        #expect(remover.removed.isEmpty)
        #expect(try files("model")["model.safetensors"] == all["model.safetensors"])
    }

    @Test("a file that is replaced after it was read is not removed")
    func replaced() throws {
        _ = try movedWithCopy()
        try leave(["config.json"], of: "model")
        try directory.write("newer", to: "newer.json")
        #expect(rename(directory("newer.json"), directory("model/config.json")) == 0)
        let found = try store.catalog.read { db in try MoveTable.all(in: directory("model"), db) }
        var remover = SourceRemover(store: store)
        try remover.remove(try #require(found.first), isCurrent: true)
        #expect(remover.removed.isEmpty)
        #expect(remover.skipped.map(\.path) == [directory("model/config.json")])
        // The next import makes a revision of the stored files, and of the new file.
        let summary = try store.importModelBlocking(request(move: true))
        #expect(summary.revisions.map(\.files) == [3] && summary.revisions.map(\.version) == [2])
        #expect(try stored("model")["config.json"] == Array("newer".utf8))
        #expect(try files("model").isEmpty)
    }

    @Test(
        "a move keeps targets of links that are outside the source, and removes a target inside with its last link",
        arguments: [1, 256])
    func links(batch: Int) throws {
        try directory.write("one", to: "model/a.json")
        try directory.write("two", to: "outside/b.json")
        let files = FileManager.default
        for (link, target) in [("b.json", "a.json"), ("0.json", "a.json"), ("out", directory("outside"))] {
            try files.createSymbolicLink(atPath: directory("model/\(link)"), withDestinationPath: target)
        }
        try files.linkItem(atPath: directory("model/a.json"), toPath: directory("model/hard.json"))
        let summary = try store.importModelBlocking(request(move: true, files: batch))
        #expect(summary.revisions[0].files == 4)
        #expect(try stored("model").values.allSatisfy { $0 == Array("one".utf8) })
        #expect(try files.contentsOfDirectory(atPath: directory("model")) == ["out"])
        #expect(files.fileExists(atPath: directory("outside/b.json")))
        #expect(try moves() == 0)
    }

    @Test("the store itself is neither imported nor moved, in any directory")
    func storeInside() throws {
        let inside = try Store(at: directory("model/.store"), create: true)
        try TestModel(layers: 1).write(to: directory("model"))
        try FileManager.default.createSymbolicLink(
            atPath: directory("model/blobs"), withDestinationPath: ".store/blobs")
        let summary = try inside.importModelBlocking(request(move: true))
        #expect(summary.skipped.map(\.path).sorted() == [".store", "blobs"])
        #expect(summary.revisions[0].files == 3)
        try inside.revision("model").exportBlocking(to: directory("out"))
        for source in ["model/.store", "model/.store/blobs", "model/.store/store.db"] {
            #expect(throws: StorageError.self) { try inside.importModelBlocking(request(source, move: true)) }
        }
        #expect(try inside.verifyBlocking().damage.isEmpty)
    }

    @Test("a move of many files writes manifests whose total length is little more than that of the last")
    func manyFiles() throws {
        for index in 0..<700 { try directory.write("\(index)", to: "model/\(index).txt") }
        let statements = try store.importModelBlocking(request(move: true, files: 256))
        #expect(statements.moved == 700 && statements.revisions[0].files == 700)
        let left = TemporaryDirectory.files(below: directory("store/blobs"))
        #expect(left.count { $0.hasSuffix(".manifest") } == 1 && left.count { $0.hasSuffix(".record") } == 1)
        #expect(try files("model").isEmpty)
        #expect(try moves() == 0)
    }
}
