import Foundation
import Glibc
import TestSupport
import Testing
import WeightStore

/// A process records accesses and ends; another one is warmed, and its first requests read no blob from the disk. The
/// tier counts the reads, and the kernel has the pages of the blobs in its cache.
@Suite(.blocking) struct WarmRestartTests {
    let directory: TemporaryDirectory
    let store: String
    /// 100 tokens: 6 KV blocks of 16, and 4 tokens that have none.
    let prompt = (0..<100).map { UInt32($0 * 31 + 1) }

    init() throws {
        // On a disk, where /tmp may be memory.
        directory = try TemporaryDirectory(in: "/var/tmp")
        store = directory("store")
        let base = TestModel(layers: 4)
        let store = try Store(at: store, create: true)
        for (name, model) in [("base", base), ("tuned", base.tuned(seed: 3)), ("cold", TestModel(layers: 2, seed: 9))] {
            try model.write(to: directory(name))
            try store.importModelBlocking(ImportRequest(source: directory(name)))
        }
        for model in ["base", "tuned"] {
            try store.addPrompt(prompt, name: "system", to: model)
            try store.addPrompt(Array(prompt.prefix(40)) + [7, 8, 9, 10, 11, 12, 13, 14], name: "short", to: model)
        }
    }

    private struct Report: Decodable {
        struct Warm: Decodable {
            let planned: [String]
            let warmed: Int
            let computed: Int
            let failed: [String]
            let bytesRead: Int
        }

        struct Request: Decodable {
            let model: String
            let bytes: Int
            let sum: UInt64
            let prompts: [String: [Int]]
            let hits: Int
            let misses: Int
            let bytesRead: Int
        }

        let warm: Warm?
        let requests: [Request]
    }

    private func engine(_ arguments: String...) throws -> Data {
        let engine = URL(fileURLWithPath: Tool.path).deletingLastPathComponent().appendingPathComponent("warm-engine")
            .path
        let result = try ChildProcess.run([engine] + arguments)
        try #require(result.status == 0, "\(result.errors)")
        return Data(result.bytes)
    }

    private func first(_ temperature: String, _ models: String...) throws -> Report {
        let data = try engine("first", store, temperature, models[0], models.count > 1 ? models[1] : models[0])
        return try JSONDecoder().decode(Report.self, from: data)
    }

    /// Drops every file of the store from the page cache.
    private func dropCaches() throws {
        for name in TemporaryDirectory.files(below: store) {
            let file = open("\(store)/\(name)", O_RDONLY)
            guard file >= 0 else { continue }
            defer { close(file) }
            // Pages that are not yet written stay in the cache.
            fsync(file)
            #expect(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0)
        }
    }

    @Test(
        "after a restart and a warm-up, the first request of each popular model and prompt reads no blob from the disk")
    func restart() throws {
        _ = try engine("use", store, "3", "base", "tuned")

        // The first warm-up computes the missing blocks of the prompts.
        try dropCaches()
        let once = try first("warm", "base", "tuned")
        let warm = try #require(once.warm)
        #expect(warm.failed.isEmpty)
        #expect(
            Set(warm.planned).isSuperset(of: ["base@~1 ", "tuned@~1 "])
                && !warm.planned.contains { $0.hasPrefix("cold") })
        // Two models; 6 blocks, and 3 of which 2 are among the 6.
        #expect(warm.computed == 2 * 7)
        try expectHits(once)

        // Without a warm-up each of these requests waits for the disk, and the page cache shows it.
        try dropCaches()
        let cold = try first("cold", "base", "tuned")
        #expect(cold.warm == nil)
        for request in cold.requests {
            #expect(request.misses > 0 && request.bytesRead > 0)
        }
        #expect(cold.requests[0].bytesRead >= cold.requests[0].bytes)

        // With a warm-up nothing is computed again, and all shards are loaded from the disk before the first request.
        try dropCaches()
        let again = try first("warm", "base", "tuned")
        let rewarm = try #require(again.warm)
        #expect(rewarm.failed.isEmpty && rewarm.computed == 0)
        #expect(
            Set(rewarm.planned).isSuperset(of: [
                "base@~1 ", "base@~1 system", "base@~1 short", "tuned@~1 ", "tuned@~1 system",
            ]))
        #expect(rewarm.bytesRead >= rewarm.warmed)
        try expectHits(again)
        // The bytes are the same, by either way of loading.
        #expect(
            again.requests.map(\.sum) == cold.requests.map(\.sum)
                && once.requests.map(\.sum) == cold.requests.map(\.sum))
    }

    private func expectHits(_ report: Report) throws {
        #expect(report.requests.map(\.model) == ["base", "tuned"])
        for request in report.requests {
            #expect(request.hits > 0 && request.misses == 0)
            #expect(request.bytesRead == 0)
            #expect(request.prompts == ["system": [6, 6], "short": [3, 3]])
        }
    }

    @Test("a lookup of KV blocks counts as a use of the prompt, and the most used prompt is first")
    func counted() throws {
        _ = try engine("use", store, "2", "base")
        _ = try first("warm", "base")
        let prompts = try Store(at: store).prompts(of: "base")
        // Two uses, and twice the first request of the process that was warmed; warming is none.
        #expect(prompts.map(\.accesses) == [4, 4])
        #expect(prompts.allSatisfy { $0.expectedUses > 4.9 && $0.expectedUses < 5.1 })
        #expect(try Store(at: store).prompts(of: "tuned").map(\.accesses) == [0, 0])
    }

    @Test("warm loads the blocks that are stored, and reports those that only an engine can compute")
    func tool() throws {
        _ = try engine("use", store, "1", "base")
        let tool = Tool(store: store)
        #expect(try tool("warm").output.contains("skipped: base@~1 system: its KV blocks were never computed"))
        _ = try first("warm", "base")
        let plan = try tool("warm", "--plan", "--json").object()
        let items = try #require(plan["items"] as? [[String: Any]])
        let blocks = items.filter { $0["prompt"] != nil }.map { "\($0["prompt"]!) \($0["parts"]!)/\($0["allParts"]!)" }
        #expect(Set(blocks) == ["system 6/6", "short 3/3"])
        #expect((plan["leftOut"] as? [Any])?.isEmpty == true)
        // A new version of the model has none yet.
        try TestModel(layers: 4).tuned(seed: 4).write(to: directory("next"))
        #expect(try tool("import", directory("next"), "--name", "base").status == 0)
        let next = try tool("warm", "--plan").output
        #expect(next.contains("base@~2") && next.contains("skipped: base@~2 system"))
    }
}
