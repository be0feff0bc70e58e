import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// Origins belong to revisions, and are checked before bytes are deleted that only they have.
@Suite(.blocking) struct OriginTests {
    let directory = try! TemporaryDirectory()
    let store: Store
    let base = TestModel(layers: 1, seed: 1)

    init() throws { store = try Store(at: directory("store"), create: true) }

    private func url(_ name: String) -> String { "file://\(directory(name))" }

    /// Writes a model to a directory, and imports it.
    private func add(_ source: String, _ model: TestModel, as name: String? = nil, origins: [String] = []) throws {
        try model.write(to: directory(source))
        var request = ImportRequest(source: directory(source), name: name ?? source)
        request.origins = origins
        try store.importModelBlocking(request)
    }

    private func export(_ revision: String) throws -> [UInt8] {
        let out = directory("out-\(UUID().uuidString)")
        try store.revision(revision).exportBlocking(to: out)
        return try contents("\(out)/model.safetensors")
    }

    private func weights(_ source: String) throws -> [UInt8] { try contents(directory("\(source)/model.safetensors")) }

    private func remove(_ source: String) throws { try FileManager.default.removeItem(atPath: directory(source)) }

    /// Makes all checks so old that an eviction does not rely on them.
    private func age(_ seconds: Int = 7200) throws {
        try store.catalog.write { db in
            try db.execute(
                sql: "UPDATE revision_origin SET checked_at = checked_at - :s, absent_at = absent_at - :s",
                arguments: ["s": seconds])
        }
    }

    /// Evicts shards as an older version did, which checked no other holder.
    private func evictUnchecked(_ model: String) throws {
        try store.catalog.write { db in
            for row in try Row.fetchAll(
                db,
                sql: """
                    SELECT DISTINCT shard.digest FROM model
                    JOIN revision ON revision.model_id = model.id
                    JOIN revision_file ON revision_file.revision_id = revision.id
                    JOIN extent ON extent.file_id = revision_file.file_id
                    JOIN shard ON shard.id = extent.shard_id
                    WHERE model.name = ?
                    """, arguments: [model])
            {
                let digest: ContentDigest = row["digest"]
                try ShardTable.mark(digest, as: .evicted, db)
                // Gone already, if the shard was evicted before.
                try? FileManager.default.removeItem(atPath: store.blobs.path(digest))
            }
        }
    }

    // MARK: Evict only what every holder can fetch again

    @Test("shards that a revision without an origin shares are not evicted, with any origins of the other holders")
    func sharedWithLocal() throws {
        try add("base", base, origins: [url("base")])
        try add("tuned", base.tuned(seed: 5))
        #expect(try store.evictBlocking(EvictionRequest(.downTo(0))).shards > 0)
        try store.remove(["base"])
        try remove("base")
        #expect(try export("tuned") == weights("tuned"))
    }

    @Test("the origins of a new version replace none of an older version's")
    func newVersionElsewhere() throws {
        try add("v1", base, as: "m", origins: [url("v1")])
        try add("v2", base.tuned(seed: 5), as: "m", origins: [url("v2")])
        #expect(try store.revisionOrigins(of: "m@~1").map(\.origin) == [url("v1")])
        #expect(try store.revisionOrigins(of: "m@~2").map(\.origin) == [url("v2")])
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        #expect(try export("m@~1") == weights("v1"))
        #expect(try export("m@~2") == weights("v2"))
    }

    @Test("a directory that changed in place is no origin of the version that it held before")
    func changedInPlace() throws {
        try add("dir", base, as: "m", origins: [url("dir")])
        let first = try weights("dir")
        try add("dir", base.tuned(seed: 5), as: "m", origins: [url("dir")])
        try age()
        let summary = try store.evictBlocking(EvictionRequest(.downTo(0)))
        #expect(summary.shards > 0 && summary.stored > 0)
        #expect(try store.revisionOrigins(of: "m@~1").allSatisfy { $0.checked == nil && $0.absent != nil })
        #expect(try export("m@~1") == first)
        #expect(try export("m@~2") == weights("dir"))
    }

    @Test("a directory that is given as the origin of another revision is checked again for the older ones at once")
    func changedWithinTheHour() throws {
        try add("dir", base, as: "m", origins: [url("dir")])
        let first = try weights("dir")
        try add("dir", base.tuned(seed: 5), as: "m", origins: [url("dir")])
        #expect(try store.evictBlocking(EvictionRequest(.downTo(0))).shards > 0)
        #expect(try store.revisionOrigins(of: "m@~1").allSatisfy { $0.checked == nil && $0.absent != nil })
        #expect(try export("m@~1") == first)
    }

    @Test("an older catalog that is accepted has no checks of origins, because later ones may have found others")
    func olderChecks() throws {
        try add("base", base, origins: [url("base")])
        #expect(try store.revisionOrigins().allSatisfy { $0.checked != nil })
        try store.catalog.write { db in try db.execute(sql: "UPDATE setting SET value = 1 WHERE name = 'store.commits'")
        }
        try store.mergeNewerBlocking()
        #expect(try store.revisionOrigins().map(\.origin) == [url("base")])
        #expect(try store.revisionOrigins().allSatisfy { $0.checked == nil })
    }

    @Test("a file that was replaced by another one of the same size and time is not mistaken for the old one")
    func replacedFile() throws {
        try add("dir", base, as: "m", origins: [url("dir")])
        let path = directory("dir/model.safetensors")
        let time = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as! Date
        var bytes = try contents(path)
        bytes[bytes.count / 2] ^= 1
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.modificationDate: time], ofItemAtPath: path)
        try age()
        _ = try store.evictBlocking(EvictionRequest(.downTo(0)))
        bytes[bytes.count / 2] ^= 1
        #expect(try export("m") == bytes)
    }

    // MARK: Origins are checked

    @Test("an import whose origin does not hold the files is refused before the commit, with the reason")
    func importIsChecked() throws {
        try base.tuned(seed: 5).write(to: directory("other"))
        for (origin, reason) in [(url("other"), "SHA-256"), (url("nowhere"), "nowhere")] {
            let error = #expect(throws: StoreError.self) { try add("base", base, origins: [origin]) }
            let message = "\(try #require(error))"
            #expect(message.contains(reason), "\(message)")
            #expect(try store.models().isEmpty)
        }
        try FileManager.default.removeItem(atPath: directory("other/config.json"))
        let error = #expect(throws: StoreError.self) { try add("base", base, origins: [url("other")]) }
        guard case .originLacks(url("other"), _, let reason) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("config.json") && reason.contains("does not exist"))

        var request = ImportRequest(source: directory("base"))
        request.origins = [url("nowhere")]
        request.trustsOrigins = true
        try store.importModelBlocking(request)
        #expect(try store.revisionOrigins(of: "base").first?.checked != nil)
    }

    @Test("an origin that does not answer keeps the shards of its revisions; others are evicted")
    func noAnswer() throws {
        try add("base", base, origins: [url("base")])
        try add("other", TestModel(layers: 1, seed: 2), origins: [url("other")])
        try age()
        try FileManager.default.moveItem(atPath: directory("base"), toPath: directory("away"))
        let summary = try store.evictBlocking(EvictionRequest(.downTo(0)))
        #expect(summary.shards > 0)
        #expect(summary.unchecked.map(\.revision) == ["base@~1"] && summary.unchecked.map(\.origin) == [url("base")])
        #expect(try export("base") == contents(directory("away/model.safetensors")))
        // It answers again, and is tried after a minute or by a check.
        try FileManager.default.moveItem(atPath: directory("away"), toPath: directory("base"))
        #expect(try store.checkOrigins(of: "base").map(\.state) == [.holds])
        #expect(try store.evictBlocking(EvictionRequest(.downTo(0))).unchecked.isEmpty)
        #expect(try store.quotaBytes == 0)
        #expect(try export("base") == weights("base"))
    }

    /// A hub that counts its listings.
    private struct ListingHub: ModelOrigin {
        let url: String
        let files: @Sendable () -> [RemoteFile]
        let listings: Counter

        final class Counter: Sendable { let count = Atomic<Int>(0) }

        func listing(of model: String, at revision: String, _ work: Work) throws -> RemoteRevision {
            listings.count.add(1, ordering: .relaxed)
            return RemoteRevision(model: model, commit: revision, files: files())
        }

        func read(_ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work) throws {
            throw FetchError.noOrigin(name: file.path)
        }

        func fetch(
            _ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
        ) throws { throw FetchError.noOrigin(name: request.path) }
    }

    @Test("a hub's listing is compared by path, size and SHA-256, and relied on for an hour")
    func hub() throws {
        let listings = ListingHub.Counter()
        let files = SharedTable<String, RemoteFile>()
        store.register(scheme: "https") { url in
            ListingHub(url: url, files: { files.keys.compactMap { files[$0] } }, listings: listings)
        }
        try base.write(to: directory("base"))
        func list(_ change: (String, Int, ContentDigest) -> (Int, ContentDigest)? = { ($1, $2) }) throws {
            files.removeAll()
            for path in TemporaryDirectory.files(below: directory("base")) {
                let bytes = try contents(directory("base/\(path)"))
                guard let (size, digest) = change(path, bytes.count, bytes.withUnsafeBytes { ContentDigest(of: $0) })
                else { continue }
                files[path] = RemoteFile(
                    model: "base", commit: "", path: path, bytes: size, digest: digest, gitObject: nil)
            }
        }
        let wrong = Array("x".utf8).withUnsafeBytes { ContentDigest(of: $0) }
        let changes: [(String, Int, ContentDigest) -> (Int, ContentDigest)?] = [
            { path, size, digest in path == "config.json" ? nil : (size, digest) },
            { path, size, digest in (path == "config.json" ? size + 1 : size, digest) },
            { path, size, digest in (size, path == "config.json" ? wrong : digest) },
        ]
        for change in changes {
            try list(change)
            #expect(throws: StoreError.self) { try add("base", base, origins: ["https://hub.test"]) }
        }
        try list()
        try add("base", base, origins: ["https://hub.test"])
        let before = listings.count.load(ordering: .relaxed)
        try store.evictBlocking(EvictionRequest(.free(1)))
        #expect(listings.count.load(ordering: .relaxed) == before)
        try age()
        try store.evictBlocking(EvictionRequest(.free(1)))
        try store.evictBlocking(EvictionRequest(.free(1)))
        #expect(listings.count.load(ordering: .relaxed) == before + 1)
        try age()
        try list { path, size, digest in (size, path == "config.json" ? wrong : digest) }
        #expect(try store.evictBlocking(EvictionRequest(.free(1))).shards == 0)
        #expect(try store.diskGauge().evictable == 0)
    }

    @Test("origins of a migrated store count as unchecked, and the first eviction checks them")
    func migrated() throws {
        try add("base", base, origins: [url("base")])
        try add("other", TestModel(layers: 1, seed: 2), origins: [url("other")])
        try store.catalog.write { db in try db.execute(sql: "UPDATE revision_origin SET checked_at = NULL") }
        try remove("other")
        #expect(try store.diskGauge().evictable == 0)
        #expect(try store.evictBlocking(EvictionRequest(.downTo(0))).unchecked.map(\.revision) == ["other@~1"])
        #expect(try export("base") == weights("base"))
        #expect(try !export("other").isEmpty)
    }

    // MARK: Removal

    @Test("a removal first fetches evicted shards that another revision needs and has no origin for")
    func removalFetches() throws {
        try add("base", base, origins: [url("base")])
        try evictUnchecked("base")
        try add("tuned", base.tuned(seed: 5))
        // The import has stored all shards again; an older version would have evicted the shared ones.
        try evictUnchecked("base")
        let planned = try store.remove(["base"], dryRun: true)
        #expect(planned.fetchedFirst > 3 && planned.neededBy == ["tuned@~1"])
        let summary = try store.remove(["base"])
        #expect(summary.fetchedFirst == planned.fetchedFirst && summary.neededBy == ["tuned@~1"])
        try remove("base")
        #expect(try export("tuned") == weights("tuned"))
        #expect(try store.verifyBlocking().absent.isEmpty)
    }

    @Test(
        "a removal is refused with the names of the others if these shards cannot be fetched; prune keeps the revision")
    func removalRefuses() throws {
        try add("base", base, origins: [url("base")])
        try add("tuned", base.tuned(seed: 5))
        try evictUnchecked("base")
        try FileManager.default.moveItem(atPath: directory("base"), toPath: directory("away"))
        let error = #expect(throws: StoreError.self) { try store.remove(["base"]) }
        guard case .neededElsewhere("base@~1", ["tuned@~1"], _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        var rule = PruneRule()
        rule.models = "base"
        try store.removeRef("main", of: "base")
        let pruned = try store.prune(rule)
        #expect(pruned.revisions.isEmpty && pruned.kept.map(\.revision) == ["base@~1"])
        #expect(try #require(pruned.kept.first).reason.contains("tuned@~1"))
        // Both together may be removed, and so may the one whose bytes are stored again.
        #expect(try store.remove(["base", "tuned"], dryRun: true).fetchedFirst == 0)
        try FileManager.default.moveItem(atPath: directory("away"), toPath: directory("base"))
        #expect(try store.prune(rule).revisions == ["base@~1"])
        #expect(try export("tuned") == weights("tuned"))
    }

    @Test("the last origin that has absent shards is removed only by force")
    func lastOrigin() throws {
        try add("base", base, origins: [url("base")])
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        #expect(throws: StoreError.self) { try store.removeOrigin(url("base"), from: "base") }
        #expect(try store.revisionOrigins(of: "base").count == 1)
        try FileManager.default.copyItem(atPath: directory("base"), toPath: directory("copy"))
        #expect(try store.addOrigin(url("copy"), to: "base").map(\.state) == [.holds])
        #expect(try store.removeOrigin(url("base"), from: "base") == ["base@~1"])
        try remove("base")
        #expect(try export("base") == weights("copy"))
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        try store.removeOrigin(url("copy"), from: "base", force: true)
        #expect(try store.verifyBlocking().absent.lostShards > 0)
    }

    @Test("a damaged file of an evicted shard that no origin has is moved to quarantine: only one collection hashes it")
    func damagedLastCopy() throws {
        try add("base", base, origins: [url("base")])
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        let shard = try #require(try store.catalog.read { db in try ShardTable.evicted(db) }.first)
        try FileManager.default.createDirectory(
            atPath: store.blobs.directory(shard.digest), withIntermediateDirectories: true)
        let bytes = [UInt8](repeating: 1, count: shard.bytes)
        try Data(bytes).write(to: URL(filePath: store.blobs.path(shard.digest)))
        try store.removeOrigin(url("base"), from: "base", force: true)
        #expect(try store.collectGarbage(graceSeconds: 0, full: true).reinstated == 0)
        let survey = try BlobSurvey(store.catalog, store.blobs)
        #expect(survey.reappeared.isEmpty && survey.unreferenced.isEmpty)
        #expect(try store.collectGarbage(graceSeconds: 0, full: true).isEmpty)
        #expect(try contents(directory("store/quarantine/\(shard.digest)")) == bytes)
        let damaged = try store.damagedShards()
        #expect(damaged.map(\.digest) == [shard.digest] && damaged.map(\.isMissing) == [false])
        #expect(try store.stats().damaged == 1)
        #expect(try store.events().contains { $0.kind == .damaged && $0.detail.contains(shard.digest.short) })
        // An origin has the shard again.
        try store.addOrigin(url("base"), to: "base")
        #expect(try export("base") == weights("base"))
        #expect(try store.collectGarbage(graceSeconds: 0).quarantined == 1)
        #expect(try store.stats().damaged == 0)
    }

    @Test("an origin is added only to the revisions that it holds")
    func addOrigin() throws {
        try add("v1", base, as: "m")
        try add("v2", base.tuned(seed: 5), as: "m")
        #expect(try store.addOrigin(url("v2"), to: "m").map(\.state) == [.lacks, .holds])
        #expect(try store.revisionOrigins().map(\.revision) == ["m@~2"])
        #expect(throws: StoreError.self) { try store.addOrigin(url("v2"), to: "m@~1") }
    }

    // MARK: Reports

    @Test("verify reports bytes that are not stored, whether an origin has them, and which are lost")
    func verify() throws {
        try add("base", base, origins: [url("base")])
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        var summary = try store.verifyBlocking()
        #expect(summary.absent.shards > 3 && summary.absent.lostShards == 0 && summary.known.isEmpty)
        try base.tuned(seed: 5).write(to: directory("base"))
        // By the catalog nothing has changed.
        #expect(try store.verifyBlocking().known.isEmpty)
        var rule = VerifyRule()
        rule.checksOrigins = true
        summary = try store.verifyBlocking(rule)
        #expect(summary.origins.map(\.state) == [.lacks])
        #expect(summary.absent.shards == 0 && summary.absent.lostShards == summary.known.count)
        #expect(Set(summary.known.map(\.problem)) == ["lost"])
        #expect(summary.known.allSatisfy { $0.revisions == ["base@~1"] })
    }

    @Test("a rebuild restores the origins of each revision, and marks a shard evicted for any order of its holders")
    func rebuild() throws {
        // The model without an origin is read first.
        try add("a-local", base.tuned(seed: 5))
        try add("base", base, origins: [url("base")])
        try add("v2", TestModel(layers: 1, seed: 3), as: "base", origins: [url("v2")])
        let before = try store.revisionOrigins()
        try evictUnchecked("base")
        let path = directory("copy")
        try store.catalog.checkpoint()
        try FileManager.default.copyItem(atPath: store.path, toPath: path)
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(path)/store.db\(suffix)") }
        let summary = try Store.rebuildBlocking(at: path)
        #expect(summary.missing == 0 && summary.evicted > 3)
        let rebuilt = try Store(at: path)
        #expect(try rebuilt.revisionOrigins().map(\.origin) == before.map(\.origin))
        // A record does not contain the results of later checks.
        #expect(try rebuilt.revisionOrigins().allSatisfy { $0.checked == nil })
        try rebuilt.revision("a-local").exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/model.safetensors")) == weights("a-local"))
    }
}
