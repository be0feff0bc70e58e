import Foundation
import Glibc
import Origins
import Support
import Synchronization
import TestSupport
import Testing
@testable import Fleet
@testable import WeightStore

@Suite(
    .blocking,
    .enabled(if: Engines.areInstalled, "Ceph and etcd are not installed, or this is not root; Tests/run installs them"))
struct BucketGarbageTests {
    private func objects(_ fleet: Fleet, _ prefix: String) throws -> Set<String> {
        var names: Set<String> = []
        try fleet.bucket.list(prefix) { names.formUnion($0.map(\.name)) }
        return names
    }

    @Test("a collection deletes objects that no version needs after the grace period; needed and young objects stay")
    func collecting() throws {
        let fixture = try FleetFixture()
        let base = TestModel(layers: 2)
        let store = try fixture.publisher("publisher", [base, base.tuned(seed: 3)])
        let fleet = try fixture.fleet()
        let first = try fleet.pushBlocking(try store.revision("org/model@~1"), of: store)
        let second = try fleet.pushBlocking(try store.revision("org/model@~2"), of: store)
        let tool = fixture.tool("publisher")
        #expect(try tool("fleet", "drop", "org/model@v2").status != 0, "main names it")
        #expect(try tool("fleet", "drop", "org/model@v1", "--dry-run").status == 0)
        #expect(try fleet.versions(of: "org/model").versions.count == 2)
        #expect(try tool("fleet", "drop", "org/model@v1").status == 0)
        let all = try objects(fleet, "shards/")
        #expect(try fleet.collectGarbage().shards == 0, "all is younger than a day")
        let plan = try tool("fleet", "gc", "--grace", "0", "--dry-run", "--json").object()
        #expect(plan["shards"] as? Int == 2 && plan["bytes"] as? Int ?? 0 >= 2 << 20 && plan["manifests"] as? Int == 1)
        #expect(try objects(fleet, "shards/") == all)
        // An interrupted upload.
        let gone = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
        _ = try fleet.bucket.begin(S3Origin.shard(gone))
        sleep(1)
        let summary = try fleet.collectGarbage(graceSeconds: 0)
        #expect(summary.shards == 2 && summary.manifests == 1 && summary.uploads == 1)
        #expect(try objects(fleet, "shards/").count == all.count - 2)
        #expect(try fixture.checkVersions().versions.map(\.version) == [2])
        #expect(try fleet.collectGarbage(graceSeconds: 0).shards == 0)
        // A dropped version can be published again, under a new number.
        #expect(try fleet.pushBlocking(try store.revision("org/model@~1"), of: store).version == 3)
        #expect(try fixture.checkVersions().version(first.digest)?.version == 3)
        #expect(second.digest != first.digest)
    }

    @Test("with concurrent collections and pushes, no version ever lacks a shard")
    func besidePushes() throws {
        let fixture = try FleetFixture()
        let base = TestModel(layers: 1)
        let store = try fixture.publisher("publisher", [base, base.tuned(seed: 3)])
        let fleet = try fixture.fleet()
        try fleet.pushBlocking(try store.revision("org/model@~2"), of: store)
        let isOver = Shared(Atomic<Bool>(false))
        let removed = Shared(Atomic<Int>(0))
        let collector = DispatchGroup()
        collector.enter()
        try startThread {
            defer { collector.leave() }
            while !isOver.value.load(ordering: .relaxed) {
                do {
                    removed.value.add(try fleet.collectGarbage(graceSeconds: 0).shards, ordering: .relaxed)
                } catch FleetError.busy {
                } catch {
                    Issue.record("\(error)")
                }
            }
        }
        // The same bytes become garbage and are needed again, several times.
        var rounds = 0
        while rounds < 8 || removed.value.load(ordering: .relaxed) == 0, rounds < 100 {
            let summary = try fleet.pushBlocking(try store.revision("org/model@~1"), of: store, refs: [])
            _ = try fixture.checkVersions()
            try fleet.drop(summary.version, of: "org/model")
            rounds += 1
        }
        isOver.value.store(true, ordering: .relaxed)
        collector.wait()
        #expect(removed.value.load(ordering: .relaxed) > 0)
        #expect(try fixture.checkVersions().versions.map(\.version) == [1])
    }

    @Test(
        "a push waits for a collection, continues when its collector is dead, and its entry protects the shards that it needs"
    )
    func entries() throws {
        let fixture = try FleetFixture()
        let store = try fixture.publisher("publisher", [TestModel(layers: 1)])
        let fleet = try fixture.fleet()
        let now = Int(fleet.bucket.now.timeIntervalSince1970)
        // The shards of a running push are not garbage, although no version names them yet.
        let shards = try store.shards(of: try store.revision("org/model").digest)!
        let entry = LedgerEntry(bucket: fleet.bucket, model: "org/other", publisher: "test")
        try entry.enter(needing: shards.text)
        for (digest, _) in shards.shards {
            try fleet.bucket.put(S3Origin.shard(digest), try store.shard(digest)!.all())
        }
        sleep(1)
        #expect(try fleet.collectGarbage(graceSeconds: 0).shards == 0)
        // A push without a heartbeat for more than an hour is dead.
        try Ledger.change(fleet.bucket) { $0.pushes[entry.id]?.seen = now - 2 * Ledger.deadSeconds }
        #expect(try fleet.collectGarbage(graceSeconds: 0).shards == shards.shards.count)
        #expect(throws: FleetError.expired(what: "the push of org/other")) { try entry.beat(force: true) }
        // A dead collector delays no command, and a live one excludes others.
        try Ledger.change(fleet.bucket) { $0.collection = .init(id: "x", collector: "test", seen: now) }
        #expect(throws: FleetError.self) { try fleet.collectGarbage(graceSeconds: 0) }
        try Ledger.change(fleet.bucket) { $0.collection?.seen = now - 2 * Ledger.deadSeconds }
        #expect(try fleet.pushBlocking(try store.revision("org/model"), of: store).version == 1)
        #expect(try fixture.checkVersions().versions.count == 1)
    }

    @Test("a listing that lags loses no object that a version needs")
    func laggingListing() throws {
        let fixture = try FleetFixture()
        let base = TestModel(layers: 1)
        let store = try fixture.publisher("publisher", [base, base.tuned(seed: 3), TestModel(layers: 1, seed: 8)])
        let other = try fixture.publisher("other", [TestModel(layers: 1, seed: 9)], as: "org/other")
        let fleet = try fixture.fleet()
        for version in 1...2 { try fleet.pushBlocking(try store.revision("org/model@~\(version)"), of: store) }
        try fleet.drop(1, of: "org/model")
        let proxy = try ChildProcess.daemon([
            "/usr/bin/env", "python3", Engines.script("s3-proxy.py"), "\(fixture.objects.port)",
        ])
        let port = Int(try proxy.line())!
        let lagging = try fixture.fleet(port: port)
        sleep(1)
        // The listings stay as they are now: they contain v1's garbage, and no later object.
        _ = try lagging.collectGarbage(graceSeconds: 0, dryRun: true)
        #expect(try lagging.pushBlocking(try store.revision("org/model@~1"), of: store).version == 3)
        try lagging.pushBlocking(try store.revision("org/model@~3"), of: store)
        try lagging.pushBlocking(try other.revision("org/other"), of: other)
        try lagging.collectGarbage(graceSeconds: 0)
        #expect(try fixture.checkVersions().versions.map(\.version) == [2, 3, 4])
        #expect(try fixture.checkVersions(of: "org/other").versions.count == 1)
        // An object that is listed although it is deleted is not an error.
        try fleet.drop(2, of: "org/model")
        try fleet.drop(3, of: "org/model")
        try fleet.collectGarbage(graceSeconds: 0)
        try lagging.collectGarbage(graceSeconds: 0)
        #expect(try fixture.checkVersions().versions.map(\.version) == [4])
        let node = try NodeProcess(fixture, "node", port: port)
        try fixture.wait(for: try store.revision("org/model@~3").digest, on: [node])
    }
}
