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
struct PublishTests {
    @Test("a push uploads the missing shards, then creates the version and moves the refs; a second push does nothing")
    func pushing() throws {
        let fixture = try FleetFixture(etcd: true)
        let base = TestModel(layers: 3)
        let store = try fixture.publisher("publisher", [base, base.tuned(seed: 7)])
        let tool = fixture.tool("publisher")
        let plan = try tool("push", "org/model@~1", "--dry-run", "--json").object()
        #expect(plan["created"] as? Bool == true && plan["uploaded"] as? Int == plan["bytes"] as? Int)
        #expect(try fixture.fleet().models().isEmpty, "a plan changes nothing")

        let first = try tool("push", "org/model@~1", "--json").object()
        #expect(first["version"] as? Int == 1 && first["created"] as? Bool == true && first["told"] as? Bool == true)
        #expect(first["uploaded"] as? Int == first["bytes"] as? Int)
        let fleet = try fixture.fleet()
        let second = try fleet.pushBlocking(try store.revision("org/model@~2"), of: store, refs: ["main", "prod"])
        #expect(second.version == 2 && second.created)
        // Three q_proj of 1 MiB.
        #expect(second.uploadedShards == 3 && second.uploaded == 3 << 20)
        let third = try fleet.pushBlocking(try store.revision("org/model@~2"), of: store)
        #expect(third.version == 2 && !third.created && third.uploadedShards == 0)
        let versions = try fixture.checkVersions()
        #expect(versions.versions.map(\.version) == [1, 2] && versions.refs["main"]?.version == 2)
        #expect(versions.refs["prod"] == .init(version: 2, previous: nil))
        #expect(try Ledger.read(fleet.bucket).pushes.isEmpty)

        // etcd has the same versions.
        let stored = try fleet.etcd!.client.range(fleet.etcd!.models)
        #expect(stored.values.count == 1)
        #expect(try ModelVersions(decoding: stored.values[0].value, place: "etcd") == versions)

        // The bytes are a complete model.
        let reader = fixture.tool("reader")
        #expect(try reader("pull", "org/model@\(second.digest)", "--origin", fixture.url()).status == 0)
        #expect(try reader("cat", "org/model", "model.safetensors").bytes == base.tuned(seed: 7).file(base.tensors))
    }

    @Test("of concurrent creators of a generation exactly one succeeds, and all read what it wrote")
    func register() throws {
        let fixture = try FleetFixture()
        let register = CASRegister(bucket: try fixture.fleet().bucket, name: "models/race")
        for generation in 1...4 {
            let winners = Mutex<[Int]>([])
            DispatchQueue.concurrentPerform(iterations: 8) { writer in
                // The upload that fails here is missing below.
                guard (try? register.write(Array("\(generation) by \(writer)".utf8), as: generation)) == true else {
                    return
                }
                winners.withLock { $0.append(writer) }
            }
            let winner = winners.withLock { $0 }
            #expect(winner.count == 1)
            let state = try #require(try register.read())
            #expect(state.generation == generation)
            #expect(String(decoding: state.bytes, as: UTF8.self) == "\(generation) by \(winner.first ?? -1)")
        }
        // A head that lags misleads no reader.
        try register.bucket.put("models/race/head", Array("2".utf8))
        #expect(try register.read()?.generation == 4)
        var tag: String?
        #expect(try register.read(after: 4, head: &tag) == nil)
        #expect(tag != nil)
        #expect(try register.read(after: 4, head: &tag) == nil)
        #expect(try register.read(after: 1, head: &tag)?.generation == 4)
    }

    @Test("a publisher that lost a race gets an error, and creates the next version when run again")
    func overtaken() throws {
        let fixture = try FleetFixture()
        let store = try fixture.publisher("publisher", [TestModel(layers: 1, seed: 3)])
        let fleet = try fixture.fleet()
        // The push waits for a collection, after it has read the versions.
        try Ledger.change(fleet.bucket) {
            $0.models = ["org/model"]
            $0.collection = .init(id: "x", collector: "test", seen: Int(fleet.bucket.now.timeIntervalSince1970))
        }
        let outcome = Mutex<Result<PushSummary, any Error>?>(nil)
        let shared = Shared(outcome)
        try startThread {
            let result = Result { try fleet.pushBlocking(try store.revision("org/model"), of: store) }
            shared.value.withLock { $0 = result }
        }
        var waiting = false
        try wait(for: "the push to announce its shards") {
            try fleet.bucket.list("pushes/") { if !$0.isEmpty { waiting = true } }
            return waiting
        }
        let other = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
        _ = try fleet.map.change("org/model") { versions in
            versions.last = 1
            versions.versions.append(.init(version: 1, digest: other, bytes: 1, created: 1, publisher: "other"))
        }
        try Ledger.change(fleet.bucket) { $0.collection = nil }
        try wait(for: "the push to end") { shared.value.withLock { $0 != nil } }
        #expect(throws: FleetError.lostRace(model: "org/model", version: 1, digest: other, publisher: "other")) {
            _ = try shared.value.withLock { $0! }.get()
        }
        #expect(try fleet.versions(of: "org/model").versions.count == 1)
        let last = try fixture.tool("publisher")("push", "org/model", "--json").object()
        #expect(last["version"] as? Int == 2 && last["uploadedShards"] as? Int == 0)
    }

    @Test("with any number of concurrent publishers, each visible version is complete and from one publisher")
    func manyPublishers() throws {
        let fixture = try FleetFixture()
        let stores = try (0..<4).map {
            try fixture.publisher("publisher-\($0)", [TestModel(layers: 1, seed: UInt64($0 + 10))])
        }
        let results = Mutex<[Result<PushSummary, any Error>]>([])
        let shared = Shared(results)
        let isOver = Atomic<Bool>(false)
        DispatchQueue.concurrentPerform(iterations: 5) { index in
            guard index < 4 else {
                while !isOver.load(ordering: .relaxed) {
                    do {
                        _ = try fixture.checkVersions()
                    } catch FleetError.unknown {
                    } catch {
                        Issue.record("\(error)")
                    }
                    if shared.value.withLock({ $0.count }) == 4 { isOver.store(true, ordering: .relaxed) }
                }
                return
            }
            let result = Result {
                while true {
                    do {
                        return try fixture.fleet().pushBlocking(
                            try stores[index].revision("org/model"), of: stores[index])
                    } catch FleetError.lostRace {
                        continue
                    }
                }
            }
            shared.value.withLock { $0.append(result) }
        }
        let made = try summaries(shared).map(\.version).sorted()
        #expect(made == [1, 2, 3, 4])
        #expect(try fixture.checkVersions().versions.map(\.version) == [1, 2, 3, 4])
    }

    private func summaries(_ shared: Shared<Mutex<[Result<PushSummary, any Error>]>>) throws -> [PushSummary] {
        try shared.value.withLock { try $0.map { try $0.get() } }
    }

    @Test("a gateway killed during an upload loses no part that had arrived, and half a version is never visible")
    func gatewayKilled() throws {
        let fixture = try FleetFixture()
        // 12 to 31 MB for each of the large tensors.
        let store = try fixture.publisher("publisher", [TestModel(layers: 2, wide: 12_288)])
        let (port, process) = try fixture.objects.gateway()
        let fleet = try fixture.fleet(port: port, attempts: 2)
        let work = Work()
        let outcome = Mutex<Result<PushSummary, any Error>?>(nil)
        let shared = Shared(outcome)
        try startThread {
            let result = Result {
                try fleet.pushBlocking(try store.revision("org/model"), of: store, partBytes: 5 << 20, work: work)
            }
            shared.value.withLock { $0 = result }
        }
        try wait(for: "parts to arrive") { work.progress.done > 30 << 20 }
        kill(process, SIGKILL)
        try wait(for: "the push to fail") { shared.value.withLock { $0 != nil } }
        #expect(throws: FetchError.self) { _ = try shared.value.withLock { $0! }.get() }
        #expect(throws: FleetError.self) { try fixture.fleet().versions(of: "org/model") }
        // The gateway restarts at the same address.
        let (_, restarted) = try fixture.objects.gateway("127.0.0.1:\(port)")
        defer { kill(restarted, SIGKILL) }
        let second = Work()
        let summary = try fleet.pushBlocking(
            try store.revision("org/model"), of: store, partBytes: 5 << 20, work: second)
        #expect(summary.created && summary.version == 1)
        #expect(second.progress.skipped >= 10 << 20, "parts that were there are not sent again")
        #expect(second.progress.done + second.progress.skipped == summary.uploaded)
        #expect(try fixture.checkVersions().versions.count == 1)
        let reader = fixture.tool("reader")
        let pulled = try reader("pull", "org/model@\(summary.digest)", "--origin", fixture.url())
        #expect(pulled.status == 0, "\(pulled.errors)")
        #expect(try reader("verify").status == 0)
    }

    @Test("a ref moves by compare-and-swap, backwards and to any version; a version that a ref names is kept")
    func refs() throws {
        let fixture = try FleetFixture(etcd: true)
        let store = try fixture.publisher("publisher", [TestModel(layers: 1), TestModel(layers: 1, seed: 2)])
        let fleet = try fixture.fleet()
        for version in 1...2 { try fleet.pushBlocking(try store.revision("org/model@~\(version)"), of: store) }
        let tool = fixture.tool("publisher")
        #expect(try tool("rollback", "org/model", "--dry-run").output.contains("v2 → v1"))
        #expect(try fleet.versions(of: "org/model").refs["main"]?.version == 2)
        let back = try tool("rollback", "org/model", "--json").object()
        #expect(back["from"] as? Int == 2 && back["to"] as? Int == 1)
        #expect(throws: FleetError.self) { try fleet.drop(1, of: "org/model") }
        #expect(try fleet.move("main", of: "org/model", to: nil) == (2, 1))
        try fleet.drop(1, of: "org/model")
        #expect(try tool("rollback", "org/model").status == 2, "v1 was dropped")
        #expect(try tool("rollback", "org/nobody").status == 2)
        // One of the concurrent writers moves the ref; the others may find it moved.
        let moved = Atomic<Int>(0)
        for version in 3...4 {
            try fleet.pushBlocking(
                try fixture.publisher("p\(version)", [TestModel(layers: 1, seed: UInt64(version))]).revision(
                    "org/model"),
                of: try Store(at: fixture.directory("p\(version)")), refs: [])
        }
        DispatchQueue.concurrentPerform(iterations: 2) { index in
            do {
                _ = try fixture.fleet().move("main", of: "org/model", to: 3 + index)
                moved.add(1, ordering: .relaxed)
            } catch FleetError.refMoved {
            } catch {
                Issue.record("\(error)")
            }
        }
        #expect(moved.load(ordering: .relaxed) >= 1)
        #expect([3, 4].contains(try fleet.versions(of: "org/model").refs["main"]?.version))
    }

    @Test("a machine whose clock is an hour off can publish and read")
    func wrongClock() throws {
        let fixture = try FleetFixture()
        _ = try fixture.publisher("publisher", [TestModel(layers: 1)])
        for (offset, store) in [("+1h", "ahead"), ("-1h", "behind")] {
            var tool = fixture.tool("publisher")
            tool.prefix = Engines.clock(offset)
            tool.environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
            let pushed = try tool("push", "org/model", "--json")
            #expect(pushed.status == 0, "\(pushed.errors)")
            var reader = fixture.tool(store)
            reader.prefix = tool.prefix
            reader.environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
            let digest = try #require(try pushed.object()["digest"] as? String)
            #expect(try reader("pull", "org/model@\(digest)", "--origin", fixture.url()).status == 0)
        }
        let created = try fixture.fleet().versions(of: "org/model").versions[0].created
        #expect(abs(created - Int(Date().timeIntervalSince1970)) < 1800, "by the object store's clock")
    }

    @Test("credentials for etcd come from the environment, and are disclosed to etcd alone")
    func etcdUser() throws {
        let fixture = try FleetFixture(etcd: true)
        let store = try fixture.publisher("publisher", [TestModel(layers: 1)])
        for (path, body) in [
            ("user/add", #"{"name":"root","password":"the-password"}"#), ("role/add", #"{"name":"root"}"#),
            ("user/grant", #"{"user":"root","role":"root"}"#), ("enable", "{}"),
        ] {
            _ = try ChildProcess.daemon([
                "/usr/bin/curl", "-sf", "-w", "\n", "-d", body, "\(fixture.etcd!.url)/v3/auth/\(path)",
            ]).line()
        }
        func push(_ user: String?) throws -> PushSummary {
            var environment = fixture.objects.credentials
            environment["ETCDCTL_USER"] = user
            let fleet = try Fleet(origin: fixture.url(), etcd: fixture.etcd!.url, environment: environment)
            return try fleet.pushBlocking(try store.revision("org/model"), of: store)
        }
        #expect(try !push(nil).isAnnounced)
        #expect(try !push("root:another").isAnnounced)
        #expect(try push("root:the-password").isAnnounced)
        let node = try NodeProcess(fixture, "node", environment: ["ETCDCTL_USER": "root:the-password"])
        try fixture.wait(for: try store.revision("org/model").digest, on: [node])
        // The first version may have arrived by a poll, before the watch began.
        try wait(for: "the watch: \(node.logText.suffix(2000))") { node.logText.contains("watching etcd from") }
        #expect(!node.logText.contains("the-password"))
    }

    @Test("plain http to another machine is refused unless it is allowed, and credentials are in no message")
    func plainHTTP() throws {
        let fixture = try FleetFixture()
        let elsewhere = "s3://bucket/x?endpoint=http://10.255.255.1:7480"
        #expect(throws: FetchError.self) { try Fleet(origin: elsewhere, environment: fixture.objects.credentials) }
        #expect(throws: FetchError.self) {
            try Fleet(origin: fixture.url(), etcd: "http://10.255.255.1:2379", environment: fixture.objects.credentials)
        }
        #expect(throws: FetchError.self) { try PeerOrigin("peer+http://10.255.255.1:8000") }
        var options = TransportOptions()
        options.allowsPlainHTTP = true
        _ = try Fleet(
            origin: elsewhere, etcd: "http://10.255.255.1:2379", options: options,
            environment: fixture.objects.credentials
        )
        _ = try Fleet(origin: "s3://bucket/x?endpoint=https://10.255.255.1", environment: fixture.objects.credentials)
        _ = try fixture.publisher("publisher", [TestModel(layers: 1)])
        var tool = fixture.tool("publisher")
        tool.environment["AWS_SECRET_ACCESS_KEY"] = "notthesecret"
        let refused = try tool("push", "org/model")
        #expect(refused.status == 9 && !refused.errors.contains("notthesecret"))
    }
}
