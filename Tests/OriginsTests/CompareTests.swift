import Foundation
import Origins
import TestSupport
import Testing
import WeightStore

/// `verify --against`: a revision compared with a hub.
@Suite(.blocking) struct CompareTests {
    private func files(_ result: Tool.Result) throws -> [String: String] {
        let object = try #require(try result.json() as? [String: Any])
        let files = try #require(object["files"] as? [[String: Any]])
        return Dictionary(files.map { ($0["path"] as? String ?? "", $0["state"] as? String ?? "") }) { $1 }
    }

    @Test("a pulled revision is compared with its commit, and no byte of a file is fetched")
    func same() throws {
        let fixture = try HubFixture(files: 2)
        let tool = fixture.tool()
        #expect(try tool("pull", "org/model").status == 0)
        try fixture.hub.set()
        let result = try tool("verify", "--against", fixture.hub.url, "org/model")
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.contains("5 of 5 files the same"))
        #expect(try fixture.hub.served() == 0)
        #expect(try fixture.hub.requests().allSatisfy { $0.path.hasPrefix("/api/models/org/model/") })
        #expect(try tool("verify", "--against", fixture.hub.url, "org/nobody").status == 2)
        #expect(try tool("verify", "--against", fixture.hub.url).status == 64)
        #expect(try tool("verify", "--against", "file:///tmp", "org/model").status == 6)
    }

    @Test("files that differ, in LFS and in git, and files of one side alone are named")
    func differences() throws {
        let fixture = try HubFixture()
        let local = fixture.directory("local")
        try fixture.model.tuned(seed: 9).write(to: local)
        try fixture.directory.write("{\"model_type\": \"none\"}\n", to: "local/config.json")
        try fixture.directory.write("mine", to: "local/notes.txt")
        try fixture.directory.write("theirs", to: "hub/org/model/README.md")
        try fixture.hub.set()
        let tool = fixture.tool()
        #expect(try tool("import", local, "--name", "org/model").status == 0)
        let result = try tool("verify", "--against", fixture.hub.url, "org/model", "--json")
        #expect(result.status == 3)
        #expect(
            try files(result) == [
                "model.safetensors": "differs", "config.json": "differs", "notes.txt": "missingThere",
                "README.md": "missingHere", "tokenizer/vocab.txt": "same",
            ])
        let text = try tool("verify", "--against", fixture.hub.url, "org/model").output
        #expect(text.contains("model.safetensors: differs: SHA-256 ") && text.contains("config.json: differs: "))
        #expect(text.contains("README.md: missing here\n") && text.contains("notes.txt: missing there\n"))
        #expect(text.contains("1 of 5 files the same, 2 differ, 1 missing here, 1 missing there"))
    }

    @Test("a commit that the hub has no longer is not found, and --at compares with another revision")
    func moved() throws {
        let fixture = try HubFixture()
        let tool = fixture.tool()
        #expect(try tool("pull", "org/model").status == 0)
        try fixture.directory.write("{}\n", to: "hub/org/model/config.json")
        try fixture.hub.set()
        let gone = try tool("verify", "--against", fixture.hub.url, "org/model")
        #expect(gone.status == 2 && gone.errors.contains("its history was rewritten"), "\(gone.errors)")
        let result = try tool("verify", "--against", fixture.hub.url, "org/model", "--at", "main", "--json")
        #expect(result.status == 3)
        #expect(try files(result)["config.json"] == "differs" && files(result)["model.safetensors"] == "same")
    }

    @Test("a comparison whose connection fails has nothing to resume, and a pull has")
    func connection() throws {
        let fixture = try HubFixture()
        let tool = fixture.tool()
        #expect(try tool("pull", "org/model").status == 0)
        // Both repeat their requests for some seconds.
        try fixture.hub.set([.init("down", "", times: 1_000_000)])
        let comparing = try tool.start(["verify", "--against", fixture.hub.url, "org/model"])
        let pull = try fixture.tool("other")("pull", "org/model")
        let comparison = try comparing.result()
        #expect(comparison.status == pull.status && comparison.errors.contains("(attempts: 7)"))
        #expect(!comparison.errors.contains("resume") && !comparison.errors.contains("kept"), "\(comparison.errors)")
        #expect(pull.errors.contains("run the command again to resume"), "\(pull.errors)")
    }

    @Test("the asynchronous form ends when its task is cancelled")
    func cancelled() async throws {
        let fixture = try HubFixture()
        let store = try fixture.store(idle: 60)
        let url = fixture.hub.url
        try store.pullBlocking(fixture.request())
        let comparison = try await store.compare("org/model", with: url)
        #expect(comparison.files(with: .same) == comparison.files)
        try fixture.hub.set([.init("hold", "^/api")])
        let task = Task { try await store.compare("org/model", with: url) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("files that were never fetched are not compared, and none is fetched")
    func partial() throws {
        let fixture = try HubFixture()
        let tool = fixture.tool()
        #expect(try tool("pull", "org/model", "--layers", "0").status == 0)
        try fixture.hub.set()
        let result = try tool("verify", "--against", fixture.hub.url, "org/model", "--json")
        #expect(result.status == 12)
        #expect(try files(result)["model.safetensors"] == "unchecked" && files(result)["config.json"] == "same")
        #expect(try fixture.hub.served() == 0)
    }
}
