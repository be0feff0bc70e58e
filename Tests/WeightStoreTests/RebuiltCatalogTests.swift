import Foundation
import GRDB
import Storage
import TestSupport
import Testing
@testable import WeightStore

/// The rows of a catalog before and after a rebuild.
@Suite(.blocking) struct RebuiltCatalogTests {
    let directory = try! TemporaryDirectory()

    /// What a rebuild restores: each table without row ids, the times of accesses and checks, and counts of uses.
    private static let queries = [
        "SELECT name, last_version, hex(record), sequence, created_at FROM model",
        """
        SELECT model.name, hex(digest), version, commit_id, bytes, file_count, tensor_count, layer_count, source,
               revision.created_at
        FROM revision JOIN model ON model.id = revision.model_id
        """,
        """
        SELECT model.name, ref.name, hex(revision.digest)
        FROM ref JOIN model ON model.id = ref.model_id JOIN revision ON revision.id = ref.revision_id
        """,
        "SELECT hex(revision.digest), note FROM pin JOIN revision ON revision.id = pin.revision_id",
        """
        SELECT hex(revision.digest), url, position
        FROM revision_origin JOIN revision ON revision.id = revision_origin.revision_id
        """,
        """
        SELECT hex(revision.digest), path, hex(file.digest)
        FROM revision_file JOIN revision ON revision.id = revision_file.revision_id
             JOIN file ON file.id = revision_file.file_id
        """,
        "SELECT hex(digest), bytes, format, pending, unlinked, rule FROM file",
        """
        SELECT hex(file.digest), extent.offset, length, hex(shard.digest), shard_offset
        FROM extent JOIN file ON file.id = extent.file_id JOIN shard ON shard.id = extent.shard_id
        """,
        """
        SELECT hex(file.digest), name, dtype, shape, offset, tensor.bytes, stack, layer, expert
        FROM tensor JOIN file ON file.id = tensor.file_id
        """,
        """
        SELECT hex(digest), bytes, kind, layer, head, state, access_count, orphaned_at IS NULL
        FROM shard
        """,
        "SELECT shards, bytes FROM shard_totals",
        "SELECT model.name, prompt.name, hex(tokens) FROM prompt JOIN model ON model.id = prompt.model_id",
    ]

    private func rows(_ store: Store) throws -> [[String]] {
        try store.catalog.read { db in
            try Self.queries.map { query in
                try Row.fetchAll(db, sql: query).map { row in
                    row.databaseValues.map { "\($0)" }.joined(separator: " ")
                }.sorted()
            }
        }
    }

    private func filled(models: Int) throws -> Store {
        let store = try Store(at: directory("store"), create: true)
        for model in 0..<models {
            let path = directory("model-\(model)")
            try TestModel(layers: 1 + model % 3, seed: UInt64(model), wide: 64).write(to: path, files: 1 + model % 2)
            var request = ImportRequest(source: path, name: "org/model-\(model)")
            request.refs = ["main", "tag-\(model)"]
            if model % 3 == 0 { request.origins = ["file://\(path)"] }
            try store.importModelBlocking(request)
            if model % 4 == 0 {
                // A second version, which shares tensors with the first, and another model of the same bytes.
                try FileManager.default.removeItem(atPath: path)
                try TestModel(layers: 1 + model % 3, seed: UInt64(model), wide: 64).tuned(seed: 99).write(to: path)
                try store.importModelBlocking(ImportRequest(source: path, name: "org/model-\(model)"))
                try store.importModelBlocking(ImportRequest(source: path, name: "copy/model-\(model)"))
            }
            if model % 5 == 0 { try store.pin("org/model-\(model)", note: "note \(model)") }
        }
        return store
    }

    @Test("the catalog after a rebuild has the rows of the catalog before, for a store of many models")
    func equal() throws {
        let before = try rows(filled(models: 24))
        let summary = try Store.rebuildBlocking(at: directory("store"))
        #expect(summary.models == 30 && summary.revisions == 36 && summary.lost.isEmpty)
        #expect(summary.missing == 0 && summary.evicted == 0 && summary.unreferencedBlobs == 0)
        let store = try Store(at: directory("store"))
        for (query, (before, after)) in zip(Self.queries, zip(before, try rows(store))) {
            #expect(before == after, "\(query)")
        }
        let (integrity, foreignKeys, mode) = try store.catalog.read { db in
            try (
                String.fetchAll(db, sql: "PRAGMA integrity_check"),
                Row.fetchAll(db, sql: "PRAGMA foreign_key_check").count,
                String.fetchOne(db, sql: "PRAGMA journal_mode")
            )
        }
        #expect(integrity == ["ok"] && foreignKeys == 0 && mode == "wal")
        #expect(try store.verifyBlocking().damage.isEmpty)
    }

    @Test("a rebuild marks absent and cut shards as missing, and counts blobs that no revision holds")
    func differences() throws {
        let store = try filled(models: 3)
        // The first model has an origin, the others have none.
        let shards = try store.catalog.read { db in
            try ContentDigest.fetchAll(
                db,
                sql: """
                    SELECT DISTINCT digest FROM shard
                    WHERE id NOT IN (
                      SELECT shard_id
                      FROM extent JOIN revision_file ON revision_file.file_id = extent.file_id
                           JOIN revision_origin ON revision_origin.revision_id = revision_file.revision_id)
                    ORDER BY digest
                    """)
        }
        try store.catalog.checkpoint()
        let path = directory("copy")
        try FileManager.default.copyItem(atPath: directory("store"), toPath: path)
        let copy = BlobDirectory(root: path + "/blobs")
        try FileSystem.remove(copy.path(shards[0]))
        try FileSystem.remove(copy.path(shards[1]))
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: copy.path(shards[1])))
        let stray = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
        try FileManager.default.createDirectory(
            atPath: copy.directory(stray), withIntermediateDirectories: true)
        try Data([1, 2, 3, 4]).write(to: URL(fileURLWithPath: copy.path(stray)))
        let summary = try Store.rebuildBlocking(at: path)
        #expect(summary.missing == 2 && summary.evicted == 0 && summary.lost.isEmpty)
        #expect(summary.unreferencedBlobs == 1 && summary.unreferencedBytes == 4)
        let missing = try Store(at: path).catalog.read { db in
            try ContentDigest.fetchAll(db, sql: "SELECT digest FROM shard WHERE state = 'missing' ORDER BY digest")
        }
        #expect(missing == Array(shards.prefix(2)))
    }

    /// Installs a blob under the digest of its bytes.
    private func put(_ text: String, _ kind: BlobDirectory.Kind, _ blobs: BlobDirectory) throws -> ContentDigest {
        let bytes = Array(text.utf8)
        let digest = bytes.withUnsafeBytes { ContentDigest(of: $0) }
        try FileManager.default.createDirectory(atPath: blobs.directory(digest), withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: blobs.path(digest, kind)))
        return digest
    }

    /// Changes the text of a blob, which gets another name.
    private func change(
        _ digest: ContentDigest, _ kind: BlobDirectory.Kind, _ blobs: BlobDirectory, from: String, to: String
    ) throws -> ContentDigest {
        let path = blobs.path(digest, kind)
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try #require(text.contains(from))
        try FileSystem.remove(path)
        return try put(text.replacingOccurrences(of: from, with: to), kind, blobs)
    }

    @Test("a revision whose manifest gives a shard another size than an earlier one is lost, and leaves no rows")
    func contradiction() throws {
        let same = [UInt8](repeating: 7, count: 4000)
        try directory.write(same, to: "a/one.bin")
        try directory.write([UInt8](repeating: 8, count: 3000), to: "b/one.bin")
        try directory.write(same, to: "b/two.bin")
        var digest = ContentDigest.zero
        do {
            let store = try Store(at: directory("store"), create: true)
            for name in ["a", "b"] {
                var request = ImportRequest(source: directory(name), name: "org/\(name)")
                request.mustBeModel = false
                try store.importModelBlocking(request)
            }
            digest = try store.revision("org/b").digest
        }
        let blobs = BlobDirectory(root: directory("store") + "/blobs")
        let shard = same.withUnsafeBytes { ContentDigest(of: $0) }
        let names = try BlobDirectory.fanOut.flatMap { try blobs.contents($0).blobs }
        let record = try #require(
            names.first { name in
                guard name.kind == .record else { return false }
                return try String(contentsOfFile: blobs.path(name.digest, .record), encoding: .utf8).contains("org/b")
            })
        let changed = try change(
            digest, .manifest, blobs, from: "shard \(shard.hex) 4000 ", to: "shard \(shard.hex) 5000 ")
        _ = try change(record.digest, .record, blobs, from: digest.hex, to: changed.hex)
        let summary = try Store.rebuildBlocking(at: directory("store"))
        #expect(summary.models == 2 && summary.revisions == 1 && summary.shards == 1)
        #expect(summary.lost.map(\.revision) == ["org/b@~1"])
        #expect(summary.lost.first?.reason.contains("5000 bytes") == true)
        // The other shard of the lost revision, and its manifest.
        #expect(summary.unreferencedBlobs == 2)
        let counts = try Store(at: directory("store")).catalog.read { db in
            try ["revision", "revision_file", "file", "extent", "shard"].map { table in
                try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)")
            }
        }
        #expect(counts == [1, 1, 1, 1, 1])
    }

    @Test("a rebuild keeps the row of a model of which all revisions are lost: no version number is used again")
    func lostModel() throws {
        func importModel(_ text: String, into store: Store) throws {
            try directory.write(Array(text.utf8), to: "model/one.bin")
            var request = ImportRequest(source: directory("model"), name: "org/model")
            request.mustBeModel = false
            try store.importModelBlocking(request)
        }
        do {
            let store = try Store(at: directory("store"), create: true)
            for text in ["one", "two"] { try importModel(text, into: store) }
        }
        let blobs = BlobDirectory(root: directory("store") + "/blobs")
        for name in try BlobDirectory.fanOut.flatMap({ try blobs.contents($0).blobs }) where name.kind == .manifest {
            try FileSystem.remove(blobs.path(name.digest, .manifest))
        }
        let summary = try Store.rebuildBlocking(at: directory("store"))
        #expect(summary.models == 1 && summary.revisions == 0)
        #expect(summary.lost.map(\.revision) == ["org/model@~1", "org/model@~2"])
        let store = try Store(at: directory("store"))
        try importModel("three", into: store)
        #expect(try store.revision("org/model@~3").digest == store.revision("org/model").digest)
        try store.remove(["org/model"])
        #expect(try store.catalog.read { db in try ModelTable.count(db) } == 0)
    }

    @Test("a shard that a manifest lists twice is no orphan after a rebuild, whichever line its extents name")
    func listedTwice() throws {
        let source = directory("twice.bin")
        try Data(repeating: 7, count: 4000).write(to: URL(fileURLWithPath: source))
        var request = ImportRequest(source: source, name: "org/twice")
        request.mustBeModel = false
        do {
            let store = try Store(at: directory("store"), create: true)
            try store.importModelBlocking(request)
        }
        let blobs = BlobDirectory(root: directory("store") + "/blobs")
        let names = try BlobDirectory.fanOut.flatMap { try blobs.contents($0).blobs }
        let manifest = try #require(names.first { $0.kind == .manifest }).digest
        let record = try #require(names.first { $0.kind == .record }).digest
        let lines = try String(contentsOfFile: blobs.path(manifest, .manifest), encoding: .utf8)
        let text = lines.split(separator: "\n").flatMap { line -> [String] in
            if line.hasPrefix("shard ") { return [String(line), String(line)] }
            return [line.hasPrefix("extent 0 ") ? "extent 1 0 4000" : String(line)]
        }
        let twice = try put(text.joined(separator: "\n") + "\n", .manifest, blobs)
        let model = try String(contentsOfFile: blobs.path(record, .record), encoding: .utf8)
        _ = try put(model.replacingOccurrences(of: manifest.hex, with: twice.hex), .record, blobs)
        try FileSystem.remove(blobs.path(manifest, .manifest))
        try FileSystem.remove(blobs.path(record, .record))
        let summary = try Store.rebuildBlocking(at: directory("store"))
        #expect(summary.revisions == 1 && summary.shards == 1 && summary.lost.isEmpty)
        let orphans = try Store(at: directory("store")).catalog.read { db in
            try Int.fetchOne(db, sql: "SELECT count(*) FROM shard WHERE orphaned_at IS NOT NULL")
        }
        #expect(orphans == 0)
    }
}
