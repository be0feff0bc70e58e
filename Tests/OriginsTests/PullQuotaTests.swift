import Storage
import Synchronization
import TestSupport
import Testing
import WeightStore

/// The quota limits pulls and misses, too.
@Suite(.blocking) struct PullQuotaTests {
    @Test("a pull that cannot fit the quota is refused before its first byte, with the figures")
    func refused() async throws {
        let fixture = try HubFixture()
        let store = try fixture.store()
        let quota = 2 << 20
        try store.setQuota(Quota(bytes: quota))
        let error = await #expect(throws: StoreError.self) { try await store.pull(fixture.request()) }
        guard case .quotaFull(quota, _, let requested, 0) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(requested > quota)
        #expect(try store.diskGauge().bytes < 1 << 20)
        let served = try fixture.hub.served()
        // Headers and small files: they determine the size of the rest.
        #expect(served < 1 << 20)
        let tool = try fixture.tool()("pull", "org/model")
        #expect(tool.status == 5 && tool.errors.contains("quota"), "\(tool.errors)")
    }

    @Test("a pull evicts evictable shards, and stays within the quota at every moment")
    func withinQuota() async throws {
        let fixture = try HubFixture(TestModel(layers: 4))
        let store = try fixture.store()
        try await store.pull(fixture.request())
        let stored = try store.diskGauge().bytes
        try TestModel(layers: 4, seed: 5).write(to: fixture.directory("hub/org/other"))
        try store.setQuota(Quota(bytes: stored + stored / 2))
        let isPulling = Mutex(true)
        let pulling = Task {
            defer { isPulling.withLock { $0 = false } }
            try await store.pull(fixture.request(FetchSelection(), "org/other"))
        }
        var most = 0
        while isPulling.withLock({ $0 }) {
            most = max(most, try store.diskGauge().bytes)
            try await Task.sleep(for: .milliseconds(5))
        }
        try await pulling.value
        most = max(most, try store.diskGauge().bytes)
        #expect(most <= stored + stored / 2)
        #expect(try store.revision("org/other").info().bytes > 0)
        let out = fixture.directory("out")
        try await store.revision("org/other").export(to: out)
        #expect(
            try contents(out + "/model.safetensors") == contents(fixture.directory("hub/org/other/model.safetensors")))
    }

    @Test("a revision that a pull fills is not removed")
    func held() async throws {
        let fixture = try HubFixture()
        let store = try fixture.store(idle: 30, rate: 100_000)
        let pulling = Task { try await store.pull(fixture.request()) }
        #expect(try await eventually { (try? store.models().first?.name) == "org/model" })
        let error = await #expect(throws: StoreError.self) {
            while true {
                try store.remove(["org/model"], dryRun: true)
                try await Task.sleep(for: .milliseconds(10))
            }
        }
        guard case .inUse = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        pulling.cancel()
        _ = await pulling.result
        try store.remove(["org/model"])
    }

    @Test(
        "a miss that cannot fit is passed through by cat, export and serve, refused by load, and nothing is stored above the quota",
        arguments: [Miss.evicted, .neverFetched])
    func passedThrough(miss: Miss) async throws {
        let fixture = try HubFixture(TestModel(layers: 2), files: 2)
        let store = try fixture.store()
        try await store.pull(fixture.request(miss == .evicted ? FetchSelection() : .nothing))
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        let quota = try store.diskGauge().bytes + 1
        try store.setQuota(Quota(bytes: quota))
        let revision = try store.revision("org/model")
        let names = try revision.files().map(\.path)
        for name in names { #expect(try revision.bytes(of: name) == fixture.file(name)) }
        try await revision.export(to: fixture.directory("out"))
        for name in names { #expect(try contents(fixture.directory("out/\(name)")) == fixture.file(name)) }
        #expect(try store.diskGauge().bytes <= quota)
        let error = #expect(throws: StoreError.self) { try revision.leaseBlocking(layer: 0, in: .ram) }
        guard case .quotaFull(quota, _, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        let server = try ServeProcess(fixture.directory("store"), log: fixture.directory("log"))
        let client = try fixture.store("client")
        try client.pullBlocking(fixture.request(from: server.url))
        for name in names { #expect(try client.revision("org/model").bytes(of: name) == fixture.file(name)) }
        #expect(try store.diskGauge().bytes <= quota)
    }

    enum Miss { case evicted, neverFetched }

    @Test("a server with an upstream stays within its quota, and passes through what does not fit")
    func upstream() throws {
        let fixture = try HubFixture(TestModel(layers: 2), files: 2)
        let quota = 100_000
        try fixture.store("middle").setQuota(Quota(bytes: quota))
        let server = try ServeProcess(
            fixture.directory("middle"), ["--upstream", fixture.hub.url], log: fixture.directory("log"))
        let client = try fixture.store("client")
        try client.pullBlocking(fixture.request(from: server.url))
        for file in try client.revision("org/model").files() {
            #expect(try client.revision("org/model").bytes(of: file.path) == fixture.file(file.path))
        }
        #expect(try Store(at: fixture.directory("middle")).diskGauge().bytes <= quota)
    }
}
