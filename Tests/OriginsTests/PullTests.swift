import Foundation
import Origins
import TestSupport
import Testing
import WeightStore

@Suite(.blocking) struct PullTests {
    @Test("a whole revision is fetched, each byte once, and equals an import of the same files")
    func whole() throws {
        let fixture = try HubFixture(files: 2)
        let store = try fixture.store()
        let summary = try store.pullBlocking(fixture.request())
        #expect(summary.complete)
        #expect(summary.fetched == (try fixture.bytes))
        #expect(try fixture.hub.served() == fixture.bytes)
        let revision = try store.revision("org/model")
        for file in try revision.files() {
            #expect(try revision.bytes(of: file.path) == fixture.file(file.path), "\(file.path)")
        }
        #expect(try store.revision("org/model@\(summary.commit)").digest == summary.digest)
        #expect(try store.origins(of: "org/model") == [fixture.hub.url])
        // The same files from disk, as the hub's own cache holds them, are the same revision.
        let snapshots = fixture.directory("models--org--model/snapshots")
        try FileManager.default.createDirectory(atPath: snapshots, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            atPath: fixture.directory("hub/org/model"), toPath: "\(snapshots)/\(summary.commit)")
        let imported = try store.importModelBlocking(ImportRequest(source: fixture.directory("models--org--model")))
        #expect(imported.revisions[0].digest == summary.digest)
        #expect(imported.revisions[0].wasKnown && imported.written == 0)
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
        #expect(try store.verifyBlocking().damage.isEmpty)
        #expect(try store.checkOrigins().map(\.state) == [.holds])
    }

    @Test("a file without tensors may have any size", arguments: [(1 << 20) + 1, 3_000_001, 9_085_657])
    func sizes(bytes: Int) throws {
        var model = TestModel(layers: 1)
        model.others["tokenizer.json"] = String((0..<bytes).map { Character(UnicodeScalar(UInt8(0x20 + $0 * 7 % 90))) })
        let fixture = try HubFixture(model)
        let store = try fixture.store()
        #expect(try store.pullBlocking(fixture.request()).complete)
        #expect(try store.revision("org/model").bytes(of: "tokenizer.json") == fixture.file("tokenizer.json"))
    }

    @Test("a second pull transfers only the listing")
    func again() throws {
        let fixture = try HubFixture()
        let store = try fixture.store()
        let first = try store.pullBlocking(fixture.request())
        try fixture.hub.set()
        let second = try store.pullBlocking(fixture.request())
        #expect(second.digest == first.digest && second.fetched == 0)
        #expect(try fixture.hub.served() == 0)
    }

    @Test("a pull of layers records all tensors, and transfers only the header and those layers' bytes")
    func layers() throws {
        let fixture = try HubFixture(TestModel(layers: 4))
        let store = try fixture.store()
        let summary = try store.pullBlocking(fixture.request(FetchSelection(layers: 1...2)))
        #expect(!summary.complete)
        let revision = try store.revision("org/model")
        let entries = try revision.tensorEntries()
        #expect(entries.count == fixture.model.tensors.count)
        for entry in entries { #expect((entry.shard != nil) == [1, 2].contains(entry.layer), "\(entry.name)") }
        let layer = entries.filter { $0.layer == 1 }.reduce(0) { $0 + $1.bytes }
        #expect(summary.fetched <= 2 * layer + 600_000)
        try fixture.hub.set()
        let tensor = try revision.layer(2).tensors[0]
        #expect(try tensor.bytes.withUnsafeBytes { Array($0) } == bytes(tensor.entry.name, fixture))
        #expect(try fixture.hub.served() == 0)
    }

    @Test("bytes that a pull left out are fetched on their first use: by a lease, a tensor, a file")
    func later() async throws {
        let fixture = try HubFixture(TestModel(layers: 3))
        let store = try fixture.store()
        try fixture.hub.set()
        try store.pullBlocking(fixture.request(FetchSelection(layers: 0...0)))
        let revision = try store.revision("org/model")
        let before = revision.digest
        for tier in [Tier.ram, .host] {
            let lease = try await revision.lease(layer: 1, in: tier)
            #expect(lease.tensors.count == 4 && lease.layer == 1)
            for tensor in lease.tensors {
                #expect(try lease.withUnsafeBytes(of: tensor) { Array($0) } == bytes(tensor.entry.name, fixture))
            }
        }
        _ = try revision.tensor("model.norm.weight")
        #expect(try revision.bytes(of: "model.safetensors") == fixture.file())
        // With the header, too, each byte travelled once.
        #expect(try fixture.hub.served() == fixture.bytes)
        let whole = try store.revision("org/model")
        #expect(whole.digest != before)
        #expect(try revision.info().digest == whole.digest)
        #expect(try fixture.store("other").pullBlocking(fixture.request()).digest == whole.digest)
        let stream = try whole.stream(to: .ram)
        var count = 0
        for try await layer in stream { count += layer.tensors.count }
        #expect(count == 12)
    }

    @Test("a stream of layers on a cold store fetches them ahead of their use, and no further than requested")
    func streaming() async throws {
        let fixture = try HubFixture(TestModel(layers: 6))
        let store = try fixture.store()
        try store.pullBlocking(fixture.request(FetchSelection(include: ["config.json"])))
        let revision = try store.revision("org/model")
        var count = 0
        for try await layer in try revision.stream(to: .host, layers: 0...3, ahead: 2) {
            #expect(layer.layer == count)
            for tensor in layer.tensors {
                #expect(try layer.withUnsafeBytes(of: tensor) { Array($0) } == bytes(tensor.entry.name, fixture))
            }
            count += 1
        }
        #expect(count == 4)
        #expect(try revision.tensorEntries(layer: 5).allSatisfy { $0.shard == nil })
    }

    @Test("a revision that is held since before its last byte arrived stays in use afterwards")
    func held() throws {
        let fixture = try HubFixture()
        let store = try fixture.store()
        try store.pullBlocking(fixture.request(FetchSelection(layers: 0...0)))
        let revision = try store.revision("org/model")
        try store.pullBlocking(fixture.request())
        #expect(throws: StoreError.self) { try store.remove(["org/model"]) }
        withExtendedLifetime(revision) {}
    }

    @Test("files can be chosen by pattern")
    func include() throws {
        let fixture = try HubFixture(files: 3)
        let store = try fixture.store()
        try store.pullBlocking(fixture.request(FetchSelection(include: ["*-00002-*", "*.json"])))
        let revision = try store.revision("org/model")
        try fixture.hub.set()
        #expect(
            try revision.bytes(of: "model-00002-of-00003.safetensors")
                == fixture.file("model-00002-of-00003.safetensors")
        )
        #expect(try fixture.hub.served() == 0)
        #expect(try revision.tensorEntries().filter { $0.shard != nil }.allSatisfy { $0.file.contains("00002") })
    }

    @Test("a pattern that matches no file is refused with the names that exist, and the pull adds no model")
    func noMatch() throws {
        let fixture = try HubFixture()
        let tool = fixture.tool()
        func refused() throws {
            let result = try tool("pull", "org/model", "--include", "*.json", "--include", "model.bin")
            #expect(result.status == 2)
            #expect(
                result.errors.contains(
                    "\"model.bin\": no such file. The files are config.json, model.safetensors, tokenizer/vocab.txt."),
                "\(result.errors)")
        }
        try refused()
        #expect(try tool("ls", "--json").list().isEmpty)
        // Also if the revision is known.
        #expect(try tool("pull", "org/model", "--include", "*.json").status == 0)
        try refused()
    }

    @Test("a lost manifest of a partial pull is rewritten after some of its files have arrived, and a rebuild reads it")
    func lostManifest() throws {
        let fixture = try HubFixture(files: 3)
        let digest: ContentDigest
        do {
            let store = try fixture.store()
            try store.pullBlocking(fixture.request(FetchSelection(include: ["config.json"])))
            digest = try store.revision("org/model").digest
            let blobs = store.path + "/blobs"
            let name = try #require(TemporaryDirectory.files(below: blobs).first { $0.contains(digest.hex) })
            let text = try contents("\(blobs)/\(name)")
            // Before a file arrives, and after one and two of three have.
            for number in 0...2 {
                if number > 0 {
                    try store.pullBlocking(fixture.request(FetchSelection(include: ["*-0000\(number)-*"])))
                }
                #expect(try store.revision("org/model").digest == digest)
                try FileManager.default.removeItem(atPath: "\(blobs)/\(name)")
                let summary = try store.collectGarbage()
                #expect(summary.rewritten == 1 && summary.unrestorable.isEmpty)
                #expect(try contents("\(blobs)/\(name)") == text)
            }
        }
        for suffix in ["", "-wal", "-shm"] { unlink(fixture.directory("store/store.db\(suffix)")) }
        #expect(try Store.rebuildBlocking(at: fixture.directory("store")).lost.isEmpty)
        let store = try fixture.store()
        let revision = try store.revision("org/model")
        #expect(revision.digest == digest)
        for file in try revision.files() {
            #expect(try revision.bytes(of: file.path) == fixture.file(file.path), "\(file.path)")
        }
    }

    @Test(
        "one content under two paths is fetched once, whichever path is requested",
        arguments: ["a.safetensors", "b.safetensors"])
    func twoPaths(path: String) throws {
        let fixture = try HubFixture()
        let original = try fixture.file()
        for name in ["a.safetensors", "b.safetensors"] {
            try fixture.directory.write(original, to: "hub/org/twice/\(name)")
        }
        let store = try fixture.store()
        try store.pullBlocking(fixture.request(FetchSelection.nothing, "org/twice"))
        let revision = try store.revision("org/twice")
        #expect(try revision.bytes(of: path) == original)
        for name in ["a.safetensors", "b.safetensors"] { #expect(try revision.bytes(of: name) == original) }
        #expect(try fixture.hub.served() == original.count)
    }

    @Test("a shard that is already stored is kept once; a file that is stored is not transferred")
    func deduplication() throws {
        let fixture = try HubFixture()
        try fixture.model.tuned(seed: 5).write(to: fixture.directory("hub/org/tuned"))
        let store = try fixture.store()
        try store.importModelBlocking(ImportRequest(source: fixture.directory("hub/org/model")))
        #expect(try store.pullBlocking(fixture.request()).fetched < 1000)
        let before = try store.usage().stored
        try store.pullBlocking(fixture.request(FetchSelection(), "org/tuned"))
        // q_proj of two layers, and the same header.
        #expect(try store.usage().stored - before == 2 << 20)
    }

    @Test("refs, commits and pages of the listing are read, and missing names are errors")
    func names() throws {
        let fixture = try HubFixture(files: 3)
        try fixture.hub.set(page: 2)
        let store = try fixture.store()
        let summary = try store.pullBlocking(fixture.request(FetchSelection(), "org/model@refs/pr/1"))
        #expect(summary.files == 6)
        #expect(try store.revision("org/model@refs/pr/1").digest == summary.digest)
        try store.pullBlocking(fixture.request(FetchSelection(), "org/model@\(summary.commit)"))
        for (name, what) in [("org/nobody", "model"), ("org/model@nothing", "revision")] {
            let error = #expect(throws: FetchError.self) {
                try store.pullBlocking(fixture.request(FetchSelection(), name))
            }
            guard case .notFound(let found, let url, 404) = error else { Issue.record("\(error!)"); continue }
            #expect(found == what && url.hasPrefix(fixture.hub.url))
        }
    }

    @Test("the known parts of a partial revision survive the loss of the catalog")
    func rebuild() throws {
        let fixture = try HubFixture()
        do { try fixture.store().pullBlocking(fixture.request(FetchSelection(layers: 0...0))) }
        for suffix in ["", "-wal", "-shm"] { unlink(fixture.directory("store/store.db\(suffix)")) }
        try Store.rebuildBlocking(at: fixture.directory("store"))
        let store = try fixture.store()
        let revision = try store.revision("org/model")
        #expect(try revision.tensorEntries().count == fixture.model.tensors.count)
        #expect(try revision.bytes(of: "model.safetensors") == fixture.file())
        #expect(try store.pullBlocking(fixture.request()).complete)
    }

    @Test("an import completes a revision that was to be fetched from an origin")
    func importAfterwards() throws {
        let fixture = try HubFixture()
        let store = try fixture.store()
        try store.pullBlocking(fixture.request(FetchSelection(layers: 0...0)))
        try store.importModelBlocking(ImportRequest(source: fixture.directory("hub/org/model"), name: "other"))
        try fixture.hub.set()
        #expect(try store.revision("org/model").bytes(of: "model.safetensors") == fixture.file())
        #expect(try fixture.hub.served() == 0)
    }

    @Test("two processes that fetch the same revision share the work: each byte is transferred once")
    func shared() throws {
        let fixture = try HubFixture(TestModel(layers: 6))
        try fixture.hub.set(
            (0..<200).map { _ in
                var fault = HubServer.Fault("slow", "^/org/model/model")
                fault.pace = 0.01
                return fault
            })
        let tools = try (0..<2).map { _ in try fixture.tool().start(["pull", "org/model", "--json"]) }
        for result in tools.map({ $0.result() }) { #expect(result.status == 0, "\(result.errors)") }
        let size = try fixture.file().count
        let big = try fixture.hub.requests().filter { $0.place == "cdn" }
        // Each process reads the header itself.
        #expect(big.reduce(0) { $0 + $1.bytes } <= size + 2 * (256 << 10))
        #expect(try fixture.tool()("cat", "org/model", "model.safetensors").bytes == fixture.file())
        #expect(try fixture.tool()("verify").status == 0)
    }

    @Test("the command pulls from HF_ENDPOINT, and reports what it did")
    func commandLine() throws {
        let fixture = try HubFixture()
        let tool = fixture.tool()
        let result = try tool("pull", "org/model", "--layers", "0", "--json").object()
        #expect(result["complete"] as? Bool == false)
        #expect(try tool("tensors", "org/model", "--layer", "1", "--digests").status == 0)
        #expect(try tool("pull", "org/model").output.contains("fetched"))
        #expect(try tool("cat", "org/model", "model.safetensors").bytes == fixture.file())
        #expect(try tool("pull", "org/nobody").status == 2)
    }

    private func bytes(_ tensor: String, _ fixture: HubFixture) throws -> [UInt8] {
        let range = try SafetensorsNames.find(tensor, fixture)
        return Array(try fixture.file()[try #require(range)])
    }
}

/// Where a tensor is in the model's one file.
enum SafetensorsNames {
    static func find(_ name: String, _ fixture: HubFixture) throws -> Range<Int>? {
        let file = try fixture.file()
        let length = file[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        let header = try JSONSerialization.jsonObject(with: Data(file[8..<8 + length])) as? [String: Any]
        guard let offsets = (header?[name] as? [String: Any])?["data_offsets"] as? [Int] else { return nil }
        return 8 + length + offsets[0]..<8 + length + offsets[1]
    }
}
