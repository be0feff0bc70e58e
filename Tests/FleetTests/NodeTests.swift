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
struct NodeTests {
    @Test(
        "nodes share a new version: the object store is read about once, a fine-tune moves the differing shards, and a rollback none"
    )
    func sharing() throws {
        let fixture = try FleetFixture(etcd: true)
        let base = TestModel(layers: 4)
        let store = try fixture.publisher("publisher", [base, base.tuned(seed: 5)])
        let proxy = try FaultProxy(to: fixture.objects.port)
        var nodes = try (0..<3).map { try NodeProcess(fixture, "node\($0)", port: proxy.port) }
        // A node whose clock is an hour off.
        nodes.append(
            try NodeProcess(
                fixture, "node3", port: proxy.port, prefix: Engines.clock("+1h"),
                environment: ["FAKETIME_DONT_FAKE_MONOTONIC": "1"]))
        try fixture.waitForPeers(nodes)
        let fleet = try fixture.fleet()
        let before = proxy.bytes
        let first = try fleet.pushBlocking(try store.revision("org/model@~1"), of: store)
        try fixture.wait(for: first.digest, on: nodes)
        let read = proxy.bytes - before
        #expect(read < 2 * first.bytes, "four nodes needed \(first.bytes) bytes, the object store gave \(read)")

        let second = try fleet.pushBlocking(try store.revision("org/model@~2"), of: store)
        try fixture.wait(for: second.digest, on: nodes)
        let after = proxy.bytes
        #expect(after - before - read < 4 * second.uploaded)
        try #require(try fleet.move("main", of: "org/model", to: nil) == (1, 2))
        try fixture.wait(for: first.digest, on: nodes)
        #expect(proxy.bytes - after < 1 << 20, "a rollback moves no shard")

        // The output for the operator.
        try wait(for: "the holdings of all nodes") { try fleet.status().nodes!.allSatisfy { !$0.lags } }
        let status = try fleet.status()
        #expect(status.nodes!.map(\.info.name) == nodes.map(\.name))
        #expect(status.nodes!.allSatisfy { $0.holdings?.changeSource == "watch" && $0.states[0].held == 1 })
        let moved = status.nodes!.reduce(0) { $0 + $1.holdings!.fromPeers + $1.holdings!.fromOrigin }
        #expect(moved == 4 * (first.bytes + second.uploaded))
        let text = try fixture.tool("publisher")("fleet", "status").output
        #expect(text.contains("4 nodes, 4 current") && text.contains("main→v1"))
        let check = fixture.tool("node0")
        #expect(try check("check", "org/model").status == 0)
        try fleet.move("main", of: "org/model", to: 2)
        try fixture.wait(for: second.digest, on: nodes)
        nodes[0].end()
        try wait(for: "the removal of the node that left") { try fleet.status().nodes!.count == 3 }
        try fleet.move("main", of: "org/model", to: 1)
        #expect(try check("check", "org/model").status == 11)
        #expect(try check("sync", "org/model", "--dry-run").output.contains("v2 → v1"))
        #expect(try check("sync", "org/model").status == 0)
        #expect(try check("check", "org/model@main", "--json").list()[0]["held"] as? Int == 1)
    }

    @Test("each of repeated loads on four nodes during version changes reads one whole version")
    func loads() throws {
        let fixture = try FleetFixture(etcd: true)
        let models = (1...4).map { TestModel(layers: 1, seed: UInt64($0)) }
        let publisher = try fixture.publisher("publisher", models)
        let files = try models.map { try $0.file($0.tensors) }
        let fleet = try fixture.fleet()
        let digests = try (1...4).map { try publisher.revision("org/model@~\($0)").digest }
        let expected = Dictionary(uniqueKeysWithValues: zip(digests, files))
        let nodes = try (0..<4).map { try NodeProcess(fixture, "node\($0)") }
        try fixture.waitForPeers(nodes)
        try fleet.pushBlocking(try publisher.revision("org/model@~1"), of: publisher)
        try fixture.wait(for: digests[0], on: nodes)
        let isOver = Atomic<Bool>(false)
        let seen = Mutex<[Set<ContentDigest>]>(Array(repeating: [], count: 4))
        let shared = Shared(seen)
        let loaders = DispatchGroup()
        let flag = Shared(isOver)
        for (index, node) in nodes.enumerated() {
            loaders.enter()
            try startThread {
                defer { loaders.leave() }
                do {
                    let store = try Store(at: node.store)
                    while !flag.value.load(ordering: .relaxed) {
                        let revision = try store.revision("org/model")
                        var bytes: [UInt8] = []
                        try revision.read("model.safetensors") { bytes += $0 }
                        if bytes != expected[revision.digest] { Issue.record("a mixture on \(node.name)") }
                        // The layers, as an engine maps them, are of the same version.
                        let layer = try revision.leaseBlocking(layer: 0, in: .ram)
                        if layer.tensors.count != 4 { Issue.record("a layer of \(layer.tensors.count) tensors") }
                        shared.value.withLock { _ = $0[index].insert(revision.digest) }
                    }
                } catch {
                    Issue.record("\(node.name): \(error)")
                }
            }
        }
        for version in 2...4 {
            try fleet.pushBlocking(try publisher.revision("org/model@~\(version)"), of: publisher)
            try fixture.wait(for: digests[version - 1], on: nodes)
            try wait(for: "loads of v\(version)") {
                shared.value.withLock { $0.allSatisfy { $0.contains(digests[version - 1]) } }
            }
        }
        // Faster than the nodes can follow.
        for version in [1, 3, 2, 4, 1] { try fleet.move("main", of: "org/model", to: version) }
        try fixture.wait(for: digests[0], on: nodes)
        finish(flag)
        loaders.wait()
    }

    private func finish(_ flag: Shared<Atomic<Bool>>) { flag.value.store(true, ordering: .relaxed) }

    @Test(
        "without etcd nodes poll the bucket; when etcd is back they are notified at once, and versions published meanwhile are written to it"
    )
    func etcdKilled() throws {
        let fixture = try FleetFixture(etcd: true)
        let store = try fixture.publisher("publisher", (1...3).map { TestModel(layers: 1, seed: UInt64($0)) })
        let nodes = try (0..<2).map { try NodeProcess(fixture, "node\($0)") }
        try fixture.waitForPeers(nodes)
        let fleet = try fixture.fleet()
        let first = try fleet.pushBlocking(try store.revision("org/model@~1"), of: store)
        try fixture.wait(for: first.digest, on: nodes)
        try fixture.etcd!.kill()
        let second = try fleet.pushBlocking(try store.revision("org/model@~2"), of: store)
        #expect(!second.isAnnounced)
        try fixture.wait(for: second.digest, on: nodes)
        #expect(nodes.allSatisfy { $0.logText.contains("Polling the bucket") })
        try fixture.etcd!.restart()
        try wait(for: "the watches of all nodes") {
            let nodes = try fleet.status().nodes!
            return nodes.count == 2 && nodes.allSatisfy { $0.holdings?.changeSource == "watch" && !$0.lags }
        }
        // A node or the publisher has written the missed version to etcd.
        try wait(for: "version 2 in etcd") {
            guard let known = try fleet.etcd!.client.get(fleet.etcd!.models + "org/model") else { return false }
            return try ModelVersions(decoding: known.value, place: "etcd").last == 2
        }
        let third = try fleet.pushBlocking(try store.revision("org/model@~3"), of: store)
        #expect(third.isAnnounced)
        try fixture.wait(for: third.digest, on: nodes)
    }

    @Test("a fleet without etcd follows the bucket, and says so")
    func noEtcd() throws {
        let fixture = try FleetFixture()
        let store = try fixture.publisher("publisher", [TestModel(layers: 1), TestModel(layers: 1, seed: 2)])
        let node = try NodeProcess(fixture, "node0", ["org/model@prod"])
        let fleet = try fixture.fleet()
        let first = try fleet.pushBlocking(try store.revision("org/model@~1"), of: store, refs: ["main", "prod"])
        func prod() throws -> ContentDigest? { try Store(at: node.store).refs(of: "org/model")["prod"] }
        try wait(for: "v1") { try prod() == first.digest }
        #expect(node.logText.contains("no etcd: polling the bucket"))
        // This node does not follow the other ref.
        let second = try fleet.pushBlocking(try store.revision("org/model@~2"), of: store, refs: ["main"])
        try fleet.pushBlocking(try store.revision("org/model@~2"), of: store, refs: ["prod"])
        try wait(for: "v2") { try prod() == second.digest }
        #expect(try Store(at: node.store).refs(of: "org/model") == ["prod": second.digest])
        #expect(try fixture.tool("publisher")("fleet", "status", "--json").object()["nodes"] == nil)
    }

    @Test("a node that was down while etcd compacted the missed events catches up by itself")
    func compacted() throws {
        let fixture = try FleetFixture(etcd: true)
        let store = try fixture.publisher("publisher", (1...3).map { TestModel(layers: 1, seed: UInt64($0)) })
        let fleet = try fixture.fleet()
        let first = try fleet.pushBlocking(try store.revision("org/model@~1"), of: store)
        var node = try NodeProcess(fixture, "node0")
        try fixture.wait(for: first.digest, on: [node])
        node.end(SIGKILL)
        let position = try #require(try FleetTable(try Store(at: node.store), origin: fixture.url()).position())
        // A change that the node can read by resuming its watch at the last revision.
        let second = try fleet.pushBlocking(try store.revision("org/model@~2"), of: store)
        node = try NodeProcess(fixture, "node0")
        try fixture.wait(for: second.digest, on: [node])
        #expect(node.logText.contains("from revision \(position.revision + 1)") && !node.logText.contains("compacted"))
        node.end(SIGKILL)
        let third = try fleet.pushBlocking(try store.revision("org/model@~3"), of: store)
        let now = try fleet.etcd!.client.range(fleet.etcd!.models).revision
        try fleet.etcd!.client.compact(now)
        node = try NodeProcess(fixture, "node0")
        try fixture.wait(for: third.digest, on: [node])
        try wait(for: "the reading of all keys") { node.logText.contains("(compacted)") }
    }

    @Test("a node killed during a sync resumes from its stored shards, and never shows half a version")
    func killed() throws {
        let fixture = try FleetFixture(etcd: true)
        let store = try fixture.publisher("publisher", [TestModel(layers: 1, seed: 9), TestModel(layers: 4)])
        let fleet = try fixture.fleet()
        let first = try fleet.pushBlocking(try store.revision("org/model@~1"), of: store)
        var node = try NodeProcess(fixture, "node0")
        try fixture.wait(for: first.digest, on: [node])
        node.end()
        let second = try fleet.pushBlocking(try store.revision("org/model@~2"), of: store)
        // Every connection stalls behind its first shards.
        let proxy = try FaultProxy(to: fixture.objects.port, Array(repeating: .stall(after: 1_300_000), count: 200))
        node = try NodeProcess(fixture, "node0", port: proxy.port)
        var missing = 0
        try wait(for: "some shards: \(node.logText)") {
            let store = try Store(at: node.store)
            guard let shards = try store.shards(of: second.digest) else { return false }
            missing = try store.missing(of: shards).values.reduce(0, +)
            return missing < second.bytes && missing > 0
        }
        node.end(SIGKILL)
        #expect(try node.main() == first.digest)
        missing = try {
            let store = try Store(at: node.store);
            return try store.missing(of: try store.shards(of: second.digest)!).values.reduce(0, +)
        }()
        let clean = try FaultProxy(to: fixture.objects.port)
        node = try NodeProcess(fixture, "node0", port: clean.port)
        try fixture.wait(for: second.digest, on: [node])
        #expect(clean.bytes < missing + (256 << 10), "bytes that had arrived are not fetched again")
    }

    @Test("a peer that sends wrong bytes is detected and skipped, and the bytes are fetched from elsewhere")
    func malicious() throws {
        let fixture = try FleetFixture(etcd: true)
        let store = try fixture.publisher("publisher", [TestModel(layers: 4)])
        let fleet = try fixture.fleet()
        let first = try fleet.pushBlocking(try store.revision("org/model"), of: store)
        let liar = try NodeProcess(fixture, "liar")
        try fixture.wait(for: first.digest, on: [liar])
        for digest in try store.shards(of: first.digest)!.shards.keys {
            let path = try Store(at: liar.store).blobPath(digest)
            var bytes = try contents(path)
            bytes[bytes.count / 2] ^= 1
            chmod(path, 0o644)
            // In place: the server has the same file open.
            let file = try #require(FileHandle(forWritingAtPath: path))
            try file.write(contentsOf: Data(bytes))
            try file.close()
        }
        let node = try NodeProcess(fixture, "victim")
        try fixture.wait(for: first.digest, on: [node])
        // The first concurrent requests detect it; afterwards the peer is skipped.
        let found = node.logText.components(separatedBy: "returned wrong bytes").count - 1
        #expect((1...8).contains(found))
    }

    @Test("a hung peer costs one time-out, and is skipped afterwards")
    func hung() throws {
        let fixture = try FleetFixture(etcd: true)
        let store = try fixture.publisher("publisher", [TestModel(layers: 12)])
        let fleet = try fixture.fleet()
        let first = try fleet.pushBlocking(try store.revision("org/model"), of: store)
        // The node announces the proxy, which counts its connections: they have a fault that changes nothing.
        let port = try FreePort()
        defer { withExtendedLifetime(port) {} }
        let proxy = try FaultProxy(to: port.number, Array(repeating: .flip(at: .max), count: 1000))
        let hung = try NodeProcess(
            fixture, "hung", ["org/model", "--port", "\(port.number)", "--advertise", "http://127.0.0.1:\(proxy.port)"])
        try fixture.wait(for: first.digest, on: [hung])
        hung.signal(SIGSTOP)
        let left = proxy.left
        let node = try NodeProcess(fixture, "node")
        try fixture.wait(for: first.digest, on: [node])
        // Each of the eight concurrent requests may detect it once; there are 40 shards and more. There is none if the node
        // starts so late that the peer's lease has ended.
        #expect(left - proxy.left <= 16, "\(left - proxy.left) connections")
        hung.signal(SIGCONT)
    }

    @Test("a peer that sends too slowly is abandoned, and skipped afterwards")
    func trickle() throws {
        let fixture = try FleetFixture(etcd: true)
        let store = try fixture.publisher("publisher", [TestModel(layers: 3)])
        let fleet = try fixture.fleet()
        let first = try fleet.pushBlocking(try store.revision("org/model"), of: store)
        // The node announces the proxy, so the proxy is first.
        let port = try FreePort()
        defer { withExtendedLifetime(port) {} }
        let proxy = try FaultProxy(to: port.number, Array(repeating: .trickle, count: 100))
        let slow = try NodeProcess(
            fixture, "slow", ["org/model", "--port", "\(port.number)", "--advertise", "http://127.0.0.1:\(proxy.port)"])
        try fixture.wait(for: first.digest, on: [slow])
        let node = try NodeProcess(fixture, "node")
        try fixture.wait(for: first.digest, on: [node])
        #expect(proxy.left < 100 && proxy.left >= 60, "it received some requests, and not all")
    }

    @Test("the metrics of a node have the refs that it follows, and how far it is behind")
    func lag() throws {
        let fixture = try FleetFixture(etcd: true)
        let store = try fixture.publisher("publisher", [TestModel(layers: 1)])
        let first = try fixture.fleet().pushBlocking(try store.revision("org/model"), of: store)
        let node = try NodeProcess(fixture, "node")
        try fixture.wait(for: first.digest, on: [node])
        try FleetTests.wait(for: "the metrics of the node: \(node.logText.suffix(2000))") {
            let text = try ChildProcess.check(
                "curl", "-sS", "-H", "Authorization: Bearer the-fleets-token", node.url + "/metrics")
            return ["node_refs 1", "node_refs_behind 0", "node_missing_bytes 0", "node_sync_failing 0"].allSatisfy {
                text.contains("\nweightstore_\($0)\n")
            }
        }
    }

    @Test("evicted shards are fetched from a peer before the object store, in any process of the machine")
    func missFromPeer() throws {
        let fixture = try FleetFixture(etcd: true)
        let base = TestModel(layers: 3)
        let store = try fixture.publisher("publisher", [base])
        let first = try fixture.fleet().pushBlocking(try store.revision("org/model"), of: store)
        let other = try NodeProcess(fixture, "other")
        let proxy = try FaultProxy(to: fixture.objects.port)
        let node = try NodeProcess(fixture, "node", port: proxy.port)
        try fixture.wait(for: first.digest, on: [other, node])
        try fixture.waitForPeers([other, node])
        // A process that is no node: it knows the peers by the catalog.
        var tool = fixture.tool("node", port: proxy.port)
        tool.environment["WEIGHTSTORE_TOKEN"] = "the-fleets-token"
        #expect(try tool("evict", "--free", "1G").status == 13)
        let before = proxy.bytes
        let cat = try tool("cat", "org/model", "model.safetensors")
        #expect(cat.bytes == (try base.file(base.tensors)), "\(cat.errors)")
        #expect(proxy.bytes - before < 256 << 10)
        // Without peers the object store remains.
        other.end(SIGKILL)
        #expect(try tool("evict", "--free", "1G").status == 13)
        #expect(try tool("cat", "org/model", "model.safetensors").bytes == base.file(base.tensors))
        #expect(proxy.bytes - before > 4 << 20)
    }

    @Test(
        "a node serves no shard to a client without the token, and binds beyond this machine neither without one nor without https"
    )
    func tokens() throws {
        let fixture = try FleetFixture(etcd: true)
        let store = try fixture.publisher("publisher", [TestModel(layers: 1)])
        let first = try fixture.fleet().pushBlocking(try store.revision("org/model"), of: store)
        let node = try NodeProcess(fixture, "node")
        try fixture.wait(for: first.digest, on: [node])
        #expect(throws: FetchError.self) { try PeerOrigin("peer+" + node.url, token: "").manifest(first.digest) }
        #expect(throws: FetchError.self) { try PeerOrigin("peer+" + node.url, token: "another").manifest(first.digest) }
        #expect(try PeerOrigin("peer+" + node.url, token: "the-fleets-token").manifest(first.digest).count > 0)
        // A node with another token gets nothing from it, and all from the bucket.
        let outsider = try NodeProcess(fixture, "stranger", environment: ["WEIGHTSTORE_TOKEN": "another"])
        try fixture.wait(for: first.digest, on: [outsider])
        let nowhere = try fixture.tool("open")("node", "org/model", "--host", "0.0.0.0", "--port", "0")
        #expect(nowhere.status == 64 && nowhere.errors.contains("--advertise"))
        let open = try fixture.tool("open")("node", "org/model", "--host", "10.255.255.1", "--port", "0")
        #expect(open.status == 64 && open.errors.contains("token"))
        var tool = fixture.tool("open")
        tool.environment["WEIGHTSTORE_TOKEN"] = "the-fleets-token"
        let plain = try tool("node", "org/model", "--host", "10.255.255.1", "--port", "0")
        #expect(plain.status == 64 && plain.errors.contains("--tls-certificate") && plain.errors.contains("--insecure"))
        let both = try tool(
            "node", "org/model", "--advertise", "http://node.example", "--tls-certificate", "any.pem", "--tls-key",
            "any.key")
        #expect(both.status == 64 && both.errors.contains("http://node.example: must be https"))
        #expect(!node.logText.contains("the-fleets-token") && !node.logText.contains("testsecret"))
    }
}
