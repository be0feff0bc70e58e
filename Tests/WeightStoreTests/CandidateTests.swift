import Foundation
import GRDB
import TestSupport
import Testing
@testable import WeightStore

/// Which shards may be evicted from the disk.
@Suite(.blocking) struct CandidateTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try add("base", TestModel(layers: 1, seed: 1))
    }

    private func add(_ name: String, _ model: TestModel, origin: Bool = true) throws {
        try model.write(to: directory(name))
        var request = ImportRequest(source: directory(name))
        if origin { request.origins = ["file://\(directory(name))"] }
        try store.importModelBlocking(request)
    }

    private func shards(of name: String) throws -> Set<ContentDigest> {
        let parts = name.components(separatedBy: "@~")
        return try store.catalog.read { db in
            try Set(
                ContentDigest.fetchAll(
                    db,
                    sql: """
                        SELECT shard.digest FROM model
                        JOIN revision ON revision.model_id = model.id
                        JOIN revision_file ON revision_file.revision_id = revision.id
                        JOIN extent ON extent.file_id = revision_file.file_id
                        JOIN shard ON shard.id = extent.shard_id
                        WHERE model.name = ? AND (revision.version = ? OR ?)
                        """, arguments: [parts[0], parts.count > 1 ? Int(parts[1])! : 0, parts.count == 1]))
        }
    }

    private func candidates(_ store: Store? = nil) throws -> Set<ContentDigest> {
        Set(try (store ?? self.store).victims(of: .lru, count: 1 << 20).victims.map(\.digest))
    }

    @Test("a shard that an origin has is a candidate, with all its numbers")
    func plain() throws {
        #expect(try candidates() == shards(of: "base"))
        let victim = try #require(
            try store.victims(of: .lru, count: 100).victims.first { $0.layer == 0 && $0.kind == .pack })
        #expect(victim.models == 1)
        #expect(victim.fetchSeconds > 0.05)
    }

    @Test("a pinned shard is never a candidate")
    func pinned() throws {
        try add("tuned", TestModel(layers: 1, seed: 1).tuned(seed: 5))
        try store.pin("base")
        let own = try shards(of: "tuned").subtracting(shards(of: "base"))
        #expect(try candidates() == own)
        try store.unpin("base")
        #expect(try candidates() == shards(of: "base").union(own))
    }

    @Test("a shard of a revision that a living process holds is never a candidate")
    func held() throws {
        let other = try Store(at: directory("store"))
        var revision: Revision? = try other.revision("base")
        #expect(try candidates().isEmpty)
        #expect(try candidates(other).isEmpty)
        withExtendedLifetime(revision) {}
        revision = nil
        #expect(try candidates() == shards(of: "base"))
    }

    @Test("a shard that the import of a living process has claimed is never a candidate")
    func claimed() throws {
        let other = try Store(at: directory("store"))
        let digest = try #require(try candidates().first)
        try other.catalog.write { db in
            try db.execute(
                sql: "INSERT INTO claim (shard_id, lease) SELECT id, ? FROM shard WHERE digest = ?",
                arguments: [other.leases.name, digest])
            // That of a process that died holds nothing.
            try db.execute(sql: "INSERT INTO claim (shard_id, lease) SELECT id, '1-1' FROM shard")
        }
        #expect(try candidates() == shards(of: "base").subtracting([digest]))
        withExtendedLifetime(other) {}
    }

    @Test("a shard that no origin has is never a candidate")
    func withoutOrigin() throws {
        try add("local", TestModel(layers: 1, seed: 2), origin: false)
        // Both hold the same config.json: the local model could not fetch it.
        let local = try shards(of: "local")
        #expect(try !shards(of: "base").isDisjoint(with: local))
        #expect(try candidates() == shards(of: "base").subtracting(local))
        let gauge = try store.diskGauge()
        #expect(gauge.withoutOrigin > 0 && gauge.evictable > 0)
        #expect(gauge.withoutOrigin + gauge.evictable == gauge.bytes)
    }

    @Test("a new version that was imported without an origin is not evicted, although the model has origins")
    func localVersion() throws {
        let before = try shards(of: "base")
        try TestModel(layers: 1, seed: 3).write(to: directory("next/base"))
        try store.importModelBlocking(ImportRequest(source: directory("next/base")))
        #expect(try shards(of: "base").count > before.count)
        #expect(try candidates() == before.subtracting(shards(of: "base@~2")))
    }

    @Test("a shard is a candidate only if every revision that holds it has a checked origin")
    func everyHolder() throws {
        try add("tuned", TestModel(layers: 1, seed: 1).tuned(seed: 5), origin: false)
        let tuned = try shards(of: "tuned")
        let shared = try shards(of: "base").intersection(tuned)
        #expect(shared.count > 3)
        #expect(try candidates() == shards(of: "base").subtracting(shared))
        try store.addOrigin("file://\(directory("tuned"))", to: "tuned")
        #expect(try candidates() == shards(of: "base").union(tuned))
        try store.removeOrigin("file://\(directory("base"))", from: "base")
        #expect(try candidates() == tuned.subtracting(shards(of: "base")))
    }

    @Test("a shard of a revision that a process opened before its last byte arrived is no candidate after it has")
    func heldByProvisionalDigest() throws {
        let other = try Store(at: directory("store"))
        let revision = try other.revision("base")
        // As a pull does when the last byte arrives.
        try store.catalog.write { db in
            let row = try RevisionRow.find("base", db)
            try db.execute(sql: "UPDATE revision SET provisional = digest WHERE id = ?", arguments: [row.id])
            let final = Array("final".utf8).withUnsafeBytes { ContentDigest(of: $0) }
            try RevisionTable.setFinalDigest(final, replacing: row.digest, of: row.id, db)
        }
        #expect(try candidates().isEmpty)
        #expect(try store.evictBlocking(EvictionRequest(.downTo(0))).shards == 0)
        withExtendedLifetime(revision) {}
    }

    @Test("manifests and records are never candidates")
    func manifests() throws {
        let names = try candidates().map { store.blobs.path($0) }
        #expect(!names.isEmpty)
        for name in names { #expect(FileManager.default.fileExists(atPath: name)) }
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        let left = TemporaryDirectory.files(below: directory("store/blobs")).filter { $0 != ".store" }
        #expect(left.count == 2)
        #expect(left.allSatisfy { $0.hasSuffix(".manifest") || $0.hasSuffix(".record") })
    }

    @Test("a shard that is not present is no candidate: evicted, missing, in quarantine")
    func notPresent() throws {
        let all = try Array(shards(of: "base"))
        for (digest, state) in zip(all, [ShardState.evicted, .missing, .quarantined]) {
            try store.catalog.write { db in try ShardTable.mark(digest, as: state, db) }
        }
        #expect(try candidates() == Set(all.dropFirst(3)))
    }

    @Test("after any change, the columns of a row agree with the rows around it")
    func evictability() throws {
        var random = Random(seed: 11)
        for name in ["a", "b", "c"] {
            try add(name, TestModel(layers: 1, seed: 1).tuned(seed: UInt64(name.utf8.first!)), origin: false)
        }
        for _ in 0..<80 {
            let name = ["a", "b", "c", "base"].randomElement(using: &random)!
            let revision = Int64.random(in: 1...8, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0: _ = try? store.pin(name)
            case 1: _ = try? store.unpin(name)
            case 2: _ = try? store.remove([name], force: true)
            case 3, 4: try add(name, TestModel(layers: 1, seed: 1).tuned(seed: 97), origin: Bool.random(using: &random))
            case 5: try store.evictBlocking(EvictionRequest(.free(1 << 20)))
            case 6: try store.catalog.write { db in try OriginTable.set([], of: revision, db) }
            case 7:
                let (holds, now) = (Bool.random(using: &random), StoreClock.now)
                try store.catalog.write { db in
                    for origin in try OriginTable.all(of: revision, db) {
                        try OriginTable.recordCheck(of: origin.url, revision: revision, holds: holds, at: now, db)
                    }
                }
            case 8:
                let checked = Bool.random(using: &random) ? StoreClock.now : nil
                try store.catalog.write { db in
                    guard try RevisionTable.exists(revision, db) else { return }
                    try OriginTable.append("file:///elsewhere", to: revision, checkedAt: checked, db)
                }
            default:
                if let digest = try shards(of: name).randomElement(using: &random) { try? store.refetch(digest) }
            }
            let (wrong, totals) = try store.catalog.read { db in
                (
                    try Int.fetchOne(
                        db,
                        sql: """
                            SELECT count(*) FROM shard JOIN shard_evictability ON shard_evictability.shard_id = shard.id
                            WHERE shard.evictable <> shard_evictability.evictable
                            """)!,
                    try Row.fetchOne(
                        db,
                        sql: """
                            SELECT shard_totals.bytes = (SELECT coalesce(sum(bytes), 0) FROM shard WHERE state = 'present')
                                   AND shard_totals.shards = (SELECT count(*) FROM shard WHERE state = 'present')
                            FROM shard_totals
                            """)![0] as Bool
                )
            }
            #expect(wrong == 0)
            #expect(totals)
        }
    }

    @Test("a rebuilt catalog knows the evicted shards, and they are still fetched on use")
    func rebuild() throws {
        try TestModel(layers: 1, seed: 9).write(to: directory("other"))
        let path = directory("rebuilt")
        do {
            let store = try Store(at: path, create: true)
            var request = ImportRequest(source: directory("other"))
            request.origins = ["file://\(directory("other"))"]
            try store.importModelBlocking(request)
            try store.evictBlocking(EvictionRequest(.downTo(0)))
        }
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(path)/store.db\(suffix)") }
        let summary = try Store.rebuildBlocking(at: path)
        #expect(summary.missing == 0 && summary.evicted > 3)
        let store = try Store(at: path)
        try store.revision("other").exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/model.safetensors")) == contents(directory("other/model.safetensors")))
    }
}
