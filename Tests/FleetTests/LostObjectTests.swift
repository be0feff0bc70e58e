import Foundation
import Glibc
import Origins
import Support
import Synchronization
import TestSupport
import Testing
@testable import Fleet
@testable import WeightStore

/// The store and the objects that tests of lost objects begin with. They are made once: that takes hundreds of requests.
private struct BucketTemplate: Sendable {
    static let shared = Result { try BucketTemplate() }

    private let fixture: FleetFixture
    let objects: [(name: String, bytes: [UInt8])]
    var store: String { fixture.directory("publisher") }

    private init() throws {
        fixture = try FleetFixture()
        let fleet = try fixture.fleet()
        do {
            let base = TestModel(layers: 2)
            let store = try fixture.publisher("publisher", [base, base.tuned(seed: 3), base.tuned(seed: 4)])
            for version in 1...2 { try fleet.pushBlocking(try store.revision("org/model@~\(version)"), of: store) }
            for number in 0..<20 { try fleet.move("main", of: "org/model", to: 1 + number % 2) }
            try store.catalog.checkpoint()
        }
        sleep(1)
        try fleet.collectGarbage(graceSeconds: 0)
        var objects: [(name: String, bytes: [UInt8])] = []
        try fleet.bucket.list("") { page in
            for entry in page {
                guard case .found(let object) = try fleet.bucket.get(entry.name) else {
                    throw Waited(what: "\(entry.name) is listed, and is not there")
                }
                objects.append((entry.name, object.bytes))
            }
        }
        #expect(objects.allSatisfy { !$0.name.hasPrefix("models/") || !$0.name.hasSuffix("000000000001") })
        #expect(objects.contains { $0.name.hasPrefix("ledger/") && $0.name.hasSuffix("000000000001") })
        self.objects = objects
    }
}

/// A missing object never justifies a deletion.
@Suite(
    .blocking,
    .enabled(if: Engines.areInstalled, "Ceph and etcd are not installed, or this is not root; Tests/run installs them"))
struct LostObjectTests {
    /// A bucket with one model of two versions, whose first generations were trimmed; the newest generation is 22 or more.
    private final class Bucket {
        let fixture: FleetFixture
        let store: Store
        let fleet: Fleet

        /// A copy of ``BucketTemplate``.
        init() throws {
            let template = try BucketTemplate.shared.get()
            fixture = try FleetFixture()
            try ChildProcess.check("cp", "-a", template.store, fixture.directory("publisher"))
            store = try Store(at: fixture.directory("publisher"))
            fleet = try fixture.fleet()
            for object in template.objects { try fleet.bucket.put(object.name, object.bytes) }
        }

        func names(_ prefix: String = "") throws -> Set<String> {
            var names: Set<String> = []
            try fleet.bucket.list(prefix) { names.formUnion($0.map(\.name)) }
            return names
        }

        /// Push, sync and collection fail with a message, and change nothing.
        func checkThatAllStops(_ message: String) throws {
            func objects() throws -> Set<String> { try names().filter { !$0.hasPrefix("ledger/") } }
            let before = try objects()
            let tool = fixture.tool("publisher")
            for result in [
                try tool("push", "org/model@~3"), try tool("push", "org/model@~1", "--dry-run"),
                try tool("fleet", "gc", "--grace", "0", "--allow-removing", "100%"),
                try tool("fleet", "gc", "--grace", "0", "--dry-run"), try tool("sync", "org/model@main"),
            ] {
                #expect(result.status == 3 && result.errors.contains(message), "\(result.status) \(result.errors)")
            }
            #expect(try objects() == before)
            let verified = try tool("fleet", "verify", "--json")
            #expect(verified.status == 3)
            let problems = try #require(try verified.object()["problems"] as? [[String: Any]])
            #expect(
                problems.contains {
                    $0["kind"] as? String == "inconsistent" && ($0["detail"] as? String ?? "").contains(message)
                })
        }

        /// After a repair, everything works, and no number is used twice.
        func checkRepair(versions: [Int], next: Int) throws {
            let tool = fixture.tool("publisher")
            #expect(try tool("fleet", "repair").status == 3, "without a terminal it changes nothing")
            #expect(try tool("fleet", "verify").status == 3)
            let repaired = try tool("fleet", "repair", "--yes")
            #expect(repaired.status == 0, "\(repaired.output)\(repaired.errors)")
            #expect(try tool("fleet", "verify").status == 0)
            #expect(try fixture.checkVersions().versions.map(\.version) == versions)
            let pushed = try fleet.pushBlocking(try store.revision("org/model@~3"), of: store)
            #expect(pushed.version == next && pushed.created)
            let collected = try fleet.collectGarbage(graceSeconds: 0)
            #expect(collected.shards == 0 || versions.isEmpty)
            #expect(try fixture.checkVersions().versions.map(\.version) == versions + [next])
            #expect(try tool("fleet", "repair", "--json").status == 0)
        }
    }

    @Test("a ledger whose head is lost stops push, sync and collection; a repair continues from its newest generation")
    func ledgerHead() throws {
        let bucket = try Bucket()
        try bucket.fleet.bucket.delete("ledger/head")
        try bucket.checkThatAllStops("does not exist, but the generations do")
        try bucket.checkRepair(versions: [1, 2], next: 3)
    }

    @Test("a ledger that is lost as a whole stops push, sync and collection; a repair makes it from the versions")
    func ledger() throws {
        let bucket = try Bucket()
        for name in try bucket.names("ledger/") { try bucket.fleet.bucket.delete(name) }
        try bucket.checkThatAllStops("the bucket has objects below")
        try bucket.checkRepair(versions: [1, 2], next: 3)
    }

    @Test("a model whose head is lost stops push, sync and collection; a repair continues from its newest generation")
    func modelHead() throws {
        let bucket = try Bucket()
        try bucket.fleet.bucket.delete("models/org/model/head")
        try bucket.checkThatAllStops("does not exist, but the generations do")
        try bucket.checkRepair(versions: [1, 2], next: 3)
    }

    @Test(
        "a head that names a trimmed generation stops push, sync and collection",
        arguments: ["ledger", "models/org/model"])
    func trimmed(name: String) throws {
        let bucket = try Bucket()
        if name == "ledger" {
            // A ledger of this size is not trimmed yet.
            try bucket.fleet.bucket.delete("ledger/000000000002")
        }
        try bucket.fleet.bucket.put("\(name)/head", Array("2".utf8))
        try bucket.checkThatAllStops("names generation 2, which does not exist")
        try bucket.checkRepair(versions: [1, 2], next: 3)
    }

    @Test("a head that runs ahead of its generations stops push at once, without a loop; no number is used twice")
    func ahead() throws {
        let bucket = try Bucket()
        try bucket.fleet.bucket.put("models/org/model/head", Array("50".utf8))
        try bucket.checkThatAllStops("names generation 50, which does not exist")
        let lost = 50 - (try #require(try bucket.fleet.registers().last?.newest))
        // A node that has seen generation 50 follows the copy, which has number 51.
        try bucket.checkRepair(versions: [1, 2], next: 3 + lost)
        #expect(try bucket.fleet.versions(of: "org/model").generation == 52)
    }

    @Test("a model that is lost as a whole, or is older than the ledger knows, stops push, sync and collection")
    func modelLost() throws {
        let bucket = try Bucket()
        let generation = try bucket.fleet.versions(of: "org/model").generation
        #expect(try Ledger.read(bucket.fleet.bucket).seen == ["org/model": generation])
        // The last generation is lost, and a head of before was put back.
        try bucket.fleet.bucket.put("models/org/model/head", Array("\(generation - 1)".utf8))
        try bucket.fleet.bucket.delete("models/org/model/\(String(format: "%012d", generation))")
        try bucket.checkThatAllStops(
            "ends at generation \(generation - 1), but the ledger names generation \(generation)")
        for name in try bucket.names("models/") { try bucket.fleet.bucket.delete(name) }
        try bucket.checkThatAllStops("does not exist, but the ledger names its generation \(generation)")
        // All versions are lost. Their numbers are not used again.
        try bucket.checkRepair(versions: [], next: generation + 1)
    }

    @Test("a version whose manifest is lost stops a collection, and push --check heals it")
    func manifest() throws {
        let bucket = try Bucket()
        let digest = try bucket.store.revision("org/model@~1").digest
        try bucket.fleet.bucket.delete(S3Origin.manifest(digest))
        let tool = bucket.fixture.tool("publisher")
        let refused = try tool("fleet", "gc", "--grace", "0", "--allow-removing", "100%")
        #expect(refused.status == 3 && refused.errors.contains("org/model@v1 needs it"), "\(refused.errors)")
        #expect(try tool("fleet", "verify").status == 3)
        #expect(try tool("push", "org/model@~1", "--check").status == 0)
        #expect(try tool("fleet", "verify").status == 0)
        _ = try bucket.fixture.checkVersions()
    }

    @Test("a lost shard is found by verify, and uploaded by push --check and by a push of the same revision")
    func lostShard() throws {
        let bucket = try Bucket()
        let tool = bucket.fixture.tool("publisher")
        let shards = try bucket.store.shards(of: try bucket.store.revision("org/model@~2").digest)!.shards
        let digest = try #require(shards.keys.sorted().first)
        #expect(try tool("fleet", "verify", "--deep").status == 0)
        for command in [["push", "org/model@~2", "--check"], ["push", "org/model@~2"]] {
            try bucket.fleet.bucket.delete(S3Origin.shard(digest))
            let verified = try tool("fleet", "verify", "--json")
            #expect(verified.status == 3)
            let problems = try #require(try verified.object()["problems"] as? [[String: Any]])
            #expect(problems.count == 1 && problems[0]["kind"] as? String == "missing")
            #expect(problems[0]["object"] as? String == S3Origin.shard(digest))
            #expect((problems[0]["versions"] as? [String])?.contains("org/model@v2") == true)
            let healed = try tool.run(command + ["--json"]).object()
            #expect(healed["uploadedShards"] as? Int == 1 && healed["created"] as? Bool == false)
            #expect(healed["version"] as? Int == 2)
            #expect(try tool("fleet", "verify").status == 0)
        }
        #expect(try tool("push", "org/model@~3", "--check").status == 2, "it is not published")
        #expect(try Ledger.read(bucket.fleet.bucket).pushes.isEmpty)
        _ = try bucket.fixture.checkVersions()
    }

    @Test("a shard with other bytes of the same size is found by verify --deep, and replaced by push --check --deep")
    func damagedShard() throws {
        let bucket = try Bucket()
        let tool = bucket.fixture.tool("publisher")
        let shards = try bucket.store.shards(of: try bucket.store.revision("org/model@~2").digest)!.shards
        let (digest, bytes) = try #require(shards.min { $0.key < $1.key })
        try bucket.fleet.bucket.put(S3Origin.shard(digest), [UInt8](repeating: 7, count: bytes))
        #expect(try tool("fleet", "verify").status == 0)
        let verified = try tool("fleet", "verify", "--deep", "--json")
        #expect(verified.status == 3)
        let problems = try #require(try verified.object()["problems"] as? [[String: Any]])
        #expect(problems.count == 1 && problems[0]["kind"] as? String == "damaged")
        #expect(try tool("push", "org/model@~2", "--check", "--json").object()["uploadedShards"] as? Int == 0)
        let healed = try tool("push", "org/model@~2", "--check", "--deep", "--json").object()
        #expect(healed["uploadedShards"] as? Int == 1)
        #expect(try tool("fleet", "verify", "--deep").status == 0)
    }

    @Test("a collection of more than a tenth of the shards is refused unless a larger share is allowed")
    func share() throws {
        let fixture = try FleetFixture()
        let store = try fixture.publisher("publisher", [TestModel(layers: 4), TestModel(layers: 4, seed: 9)])
        let fleet = try fixture.fleet()
        for version in 1...2 { try fleet.pushBlocking(try store.revision("org/model@~\(version)"), of: store) }
        try fleet.drop(1, of: "org/model")
        sleep(1)
        let tool = fixture.tool("publisher")
        let plan = try tool("fleet", "gc", "--grace", "0", "--dry-run", "--json").object()
        let (garbage, all) = (plan["shards"] as? Int ?? 0, plan["allShards"] as? Int ?? 0)
        #expect(garbage > Fleet.freelyRemoved && plan["isRefused"] as? Bool == true)
        let refused = try tool("fleet", "gc", "--grace", "0")
        #expect(refused.status == 1 && refused.errors.contains("\(garbage) of \(all) shards"), "\(refused.errors)")
        #expect(refused.errors.contains("--allow-removing"))
        #expect(try Ledger.read(fleet.bucket).collection == nil)
        let removed = try tool("fleet", "gc", "--grace", "0", "--allow-removing", "60%", "--json").object()
        #expect(removed["shards"] as? Int == garbage)
        #expect(try fixture.checkVersions().versions.map(\.version) == [2])
    }

    @Test("a drop and a collection before a push is entered leave it no version with missing shards")
    func dropBesidePush() throws {
        let fixture = try FleetFixture()
        let base = TestModel(layers: 2)
        let store = try fixture.publisher(
            "publisher", [TestModel(layers: 1, seed: 9), base, base.tuned(seed: 3)])
        let fleet = try fixture.fleet()
        try fleet.pushBlocking(try store.revision("org/model@~1"), of: store)
        try fleet.pushBlocking(try store.revision("org/model@~2"), of: store, refs: [])
        let proxy = try ChildProcess.daemon([
            "/usr/bin/env", "python3", Engines.script("s3-proxy.py"), "\(fixture.objects.port)",
        ])
        let port = Int(try proxy.line())!
        try ChildProcess.check("curl", "-sf", "--data", "PUT pushes/", "http://127.0.0.1:\(port)/hold")
        let outcome = Shared(Mutex<Result<PushSummary, any Error>?>(nil))
        try startThread {
            // It has read the versions when it announces its shards.
            let result = Result {
                try fixture.fleet(port: port).pushBlocking(try store.revision("org/model@~3"), of: store)
            }
            outcome.value.withLock { $0 = result }
        }
        try wait(for: "the push to announce its shards") {
            try ChildProcess.check("curl", "-sf", "http://127.0.0.1:\(port)/held") == "1"
        }
        try fleet.drop(2, of: "org/model")
        sleep(1)
        #expect(try fleet.collectGarbage(graceSeconds: 0, allowedShare: 1).shards > 0)
        try ChildProcess.check("curl", "-sf", "-X", "POST", "http://127.0.0.1:\(port)/release")
        try wait(for: "the push to end") { outcome.value.withLock { $0 != nil } }
        #expect(try outcome.value.withLock { try $0?.get() }?.version == 3)
        #expect(try fixture.checkVersions().versions.map(\.version) == [1, 3])
    }

    @Test("a push that waits for a collection ends when it is cancelled, and leaves no entry")
    func cancelled() throws {
        let fixture = try FleetFixture()
        let store = try fixture.publisher("publisher", [TestModel(layers: 1)])
        let fleet = try fixture.fleet()
        try Ledger.change(fleet.bucket) {
            $0.collection = .init(id: "x", collector: "test", seen: Int(fleet.bucket.now.timeIntervalSince1970))
        }
        let push = try fixture.tool("publisher").start(["push", "org/model"])
        try wait(for: "the push to announce its shards") { try fleet.bucket.lists("pushes/") }
        push.signal(SIGTERM)
        let result = push.result()
        #expect(result.status == 130, "\(result.errors)")
        #expect(try Ledger.read(fleet.bucket).pushes.isEmpty)
        // The same before the push began.
        try Ledger.change(fleet.bucket) { $0.collection = nil }
        let work = Work()
        work.cancel()
        #expect(throws: CancellationError.self) {
            try fleet.pushBlocking(try store.revision("org/model"), of: store, work: work)
        }
        #expect(try fleet.pushBlocking(try store.revision("org/model"), of: store).version == 1)
    }

    @Test("a change that others win again and again ends after a limit, and when it is cancelled")
    func contended() throws {
        var attempts = ChangeAttempts("ledger")
        let work = Work()
        work.cancel()
        #expect(throws: CancellationError.self) { try attempts.lost(work) }
        var count = 0
        #expect(throws: FleetError.self) {
            var attempts = ChangeAttempts("ledger", longestPauseSeconds: 0.001)
            while true {
                count += 1
                try attempts.lost(Work())
            }
        }
        #expect(count == ChangeAttempts.limit)
    }

    @Test(
        "the error of a lost race names the winner's version, or says that it was dropped, and never names the loser's")
    func lostRace() throws {
        let fixture = try FleetFixture()
        let store = try fixture.publisher("publisher", [TestModel(layers: 1)])
        let fleet = try fixture.fleet()
        try Ledger.change(fleet.bucket) {
            $0.models = ["org/model"]
            $0.collection = .init(id: "x", collector: "test", seen: Int(fleet.bucket.now.timeIntervalSince1970))
        }
        let outcome = Shared(Mutex<Result<PushSummary, any Error>?>(nil))
        try startThread {
            let result = Result { try fleet.pushBlocking(try store.revision("org/model"), of: store) }
            outcome.value.withLock { $0 = result }
        }
        try wait(for: "the push to announce its shards") { try fleet.bucket.lists("pushes/") }
        // Another publisher creates v1, and it is dropped.
        _ = try fleet.map.change("org/model") { $0.last = 1 }
        try Ledger.change(fleet.bucket) { $0.collection = nil }
        try wait(for: "the push to end") { outcome.value.withLock { $0 != nil } }
        let expected = FleetError.lostRace(
            model: "org/model", version: 1, digest: nil, publisher: "another publisher")
        #expect(throws: expected) { _ = try outcome.value.withLock { $0! }.get() }
        #expect("\(expected)".contains("dropped since"))
    }

    @Test("a reader that knows a later generation than the bucket has gets an error, not silence")
    func older() throws {
        let fixture = try FleetFixture()
        let register = CASRegister(bucket: try fixture.fleet().bucket, name: "models/one")
        for generation in 1...3 { #expect(try register.write(Array("\(generation)".utf8), as: generation)) }
        var tag: String?
        #expect(try register.read(after: 3, head: &tag) == nil)
        tag = nil
        #expect(throws: FleetError.self) { try register.read(after: 9, head: &tag) }
        try register.bucket.delete(register.head)
        #expect(throws: FleetError.self) { try register.read(after: 3, head: &tag) }
        // A writer of the first generation that died before it created the head misleads no reader and no writer.
        let other = CASRegister(bucket: register.bucket, name: "models/two")
        #expect(try other.read() == nil)
        try other.bucket.put(other.place(1), [1])
        #expect(try other.read()?.generation == 1)
        #expect(try other.write([2], as: 2))
        #expect(try other.read()?.generation == 2)
    }
}
