import Origins
import Server
import Synchronization
import TestSupport
import Testing
import WeightStore

/// Requests for missing models start a pull.
@Suite(.blocking)
struct PullThroughTests {
    /// Imports the requested model from a directory, in place of a pull from a hub.
    final class Source: PullThrough {
        private let store: Store
        private let directory: TemporaryDirectory
        let calls = Mutex<[String]>([])

        init(_ store: Store, _ directory: TemporaryDirectory) {
            self.store = store
            self.directory = directory
        }

        func pull(model: String, revision: String) async throws -> Bool {
            calls.withLock { $0.append("\(model)@\(revision)") }
            if model == "org/broken" { throw StorageError.busy(what: "hub", holder: "another fetch") }
            if model == "org/silent" {
                throw FetchError.disconnected(url: "https://hub.example", reason: "no route", attempts: 3)
            }
            guard model == "org/remote", revision == "main" else { return false }
            try await onThread { [store, directory] in
                try TestServer.base.tuned(seed: 99).write(to: directory("remote"))
                try store.importModelBlocking(ImportRequest(source: directory("remote"), name: model))
            }
            return true
        }
    }

    private func start() async throws -> (TestServer, Source) {
        let source = Mutex<Source?>(nil)
        let server = try await TestServer(pullThrough: { store, directory in
            let made = Source(store, directory)
            source.withLock { $0 = made }
            return made
        })
        return (server, try #require(source.withLock { $0 }))
    }

    @Test("concurrent requests for the same model wait for one pull, and receive it")
    func once() async throws {
        let (server, source) = try await start()
        let answers = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<10 {
                group.addTask {
                    let path =
                        number % 2 == 0
                        ? "/api/models/org/remote/revision/main" : "/org/remote/resolve/main/config.json"
                    return try await server.get(path).status
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers == Array(repeating: 200, count: 10))
        #expect(source.calls.withLock { $0 } == ["org/remote@main"])
    }

    @Test("a stored model is not pulled; an unknown one is not found; a pull that fails is an error")
    func misses() async throws {
        let (server, source) = try await start()
        #expect(try await server.get("/org/base/resolve/main/config.json").status == 200)
        #expect(source.calls.withLock { $0.isEmpty })
        let missing = try await server.get("/api/models/org/nowhere")
        #expect(missing["x-error-code"] == "RepoNotFound")
        let revision = try await server.get("/org/base/resolve/nope/config.json")
        #expect(revision["x-error-code"] == "RevisionNotFound")
        #expect(source.calls.withLock { $0 } == ["org/nowhere@main", "org/base@nope"])
        #expect(try await server.get("/org/broken/resolve/main/config.json").status == 503)
        // Names that no model can have are never requested.
        #expect(try await server.get("/or%20g/x/resolve/main/f").status == 404)
        #expect(try await server.get("/datasets/x/resolve/main/f").status == 404)
        #expect(source.calls.withLock { $0.count } == 3)
    }

    @Test("the metrics have whether the upstream answers, and the log which bytes were fetched")
    func state() async throws {
        let (server, _) = try await start()
        func upstream() async throws -> Int? { try await server.metric("weightstore_upstream_up") }
        #expect(try await server.get("/org/base/resolve/main/config.json").status == 200)
        #expect(try await upstream() == nil)
        #expect(try await server.get("/api/models/org/nowhere").status == 404)
        #expect(try await upstream() == 1)
        #expect(try await server.get("/api/models/org/silent").status == 503)
        #expect(try await upstream() == 0)
        // A failure of this store says nothing of the upstream.
        #expect(try await server.get("/org/broken/resolve/main/config.json").status == 503)
        #expect(try await upstream() == 0)
        #expect(try await server.get("/org/remote/resolve/main/config.json").status == 200)
        #expect(try await upstream() == 1)
        let lines = server.log.lines
        #expect(lines.contains { $0.contains("/org/base/resolve/main/config.json 200") && $0.contains(", stored,") })
        #expect(lines.contains { $0.contains("/org/remote/resolve/main/config.json 200") && $0.contains(", fetched,") })
        #expect(lines.contains { $0.hasPrefix("warning 127.0.0.1 GET /api/models/org/silent 503") })
    }
}
