import Policies
import TestSupport
import Testing
import WeightStore

/// Every long call ends with its work, and its asynchronous form with its task.
@Suite(.blocking) struct CancelledWorkTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        try TestModel(layers: 3).write(to: directory("model"))
        store = try Store(at: directory("store"), create: true)
        var request = ImportRequest(source: directory("model"), name: "model")
        request.origins = ["file://\(directory("model"))"]
        try store.importModelBlocking(request)
    }

    private func cancelled() -> Work {
        let work = Work()
        work.cancel()
        return work
    }

    /// A store that no process has open.
    private func closedStore() throws {
        let closed = try Store(at: directory("closed"), create: true)
        try closed.importModelBlocking(ImportRequest(source: directory("model"), name: "model"))
    }

    @Test("a cancelled rebuild leaves the catalog as it was, and no other file")
    func rebuild() throws {
        try closedStore()
        #expect(throws: CancellationError.self) {
            try Store.rebuildBlocking(at: directory("closed"), work: cancelled())
        }
        #expect(TemporaryDirectory.files(below: directory("closed/rebuild")).isEmpty)
        #expect(try Store(at: directory("closed")).models().map(\.name) == ["model"])
    }

    @Test("a cancelled call throws, and changes nothing")
    func blocking() async throws { try await onThread { try self.callsThatBlock() } }

    private func callsThatBlock() throws {
        let (before, files) = (try store.stats(), TemporaryDirectory.files(below: store.path + "/blobs"))
        try TestModel(layers: 3, seed: 9).write(to: directory("other"))
        let revision = try store.revision("model")
        #expect(throws: CancellationError.self) {
            try store.importModelBlocking(ImportRequest(source: directory("other")), work: cancelled())
        }
        #expect(throws: CancellationError.self) { try store.verifyBlocking(work: cancelled()) }
        #expect(throws: CancellationError.self) {
            try store.evictBlocking(EvictionRequest(.downTo(0)), work: cancelled())
        }
        #expect(throws: CancellationError.self) { try revision.exportBlocking(to: directory("out"), work: cancelled()) }
        #expect(throws: CancellationError.self) { try store.warmBlocking(WarmRequest(to: .ram), work: cancelled()) }
        #expect(try store.stats().shards == before.shards && store.models().map(\.name) == ["model"])
        #expect(TemporaryDirectory.files(below: store.path + "/blobs") == files)
        #expect(TemporaryDirectory.files(below: directory("out")).isEmpty)
        #expect(TemporaryDirectory.files(below: store.path + "/staging").isEmpty)
        #expect(try store.verifyBlocking().damage.isEmpty)
    }

    @Test("a cancelled task ends its call")
    func tasks() async throws {
        let (store, revision) = (store, try store.revision("model"))
        try TestModel(layers: 3, seed: 9).write(to: directory("other"))
        try closedStore()
        let trace = try AccessTrace(files: [try directory.write("time,id,size\n1,a,10\n2,b,20\n", to: "trace.csv")])
        let calls: [(String, @Sendable () async throws -> Void)] = [
            ("import", { [directory] in _ = try await store.importModel(ImportRequest(source: directory("other"))) }),
            ("verify", { _ = try await store.verify() }),
            ("evict", { _ = try await store.evict(EvictionRequest(.downTo(0))) }),
            ("export", { [directory] in _ = try await revision.export(to: directory("out")) }),
            ("warm", { _ = try await store.warm(WarmRequest(to: .ram)) }),
            ("rebuild", { [directory] in _ = try await Store.rebuild(at: directory("closed")) }),
            ("simulate", { _ = try await MissRatioCurve.simulate(trace, policies: [.lru], quotas: [10]) }),
        ]
        for (name, call) in calls {
            // The task is cancelled before its call begins: an equal chance for each.
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                try await call()
            }
            await #expect(throws: CancellationError.self, "\(name)") { try await task.value }
        }
        #expect(try await store.verify().damage.isEmpty)
        #expect(try Store(at: directory("closed")).models().map(\.name) == ["model"])
    }
}
