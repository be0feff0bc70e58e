import Foundation
import Origins
import TestSupport
import Testing
import WeightStore

/// A server behind a hub means by a name what the hub means.
@Suite(.blocking) struct HubIdentityTests {
    private struct Answer {
        let status: Int
        /// By name in small letters.
        let fields: [String: String]
        let body: [UInt8]
    }

    private func get(_ url: String) throws -> Answer {
        let head = try TemporaryDirectory()
        let result = try ChildProcess.run(["curl", "-s", "-D", head("head"), url])
        let lines = String(decoding: try contents(head("head")), as: UTF8.self).split(whereSeparator: \.isNewline)
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            fields[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
        }
        let status = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return Answer(status: status ?? 0, fields: fields, body: result.bytes)
    }

    /// A server that compares no ref meanwhile.
    private func serve(_ fixture: HubFixture, _ store: String = "middle") throws -> ServeProcess {
        try ServeProcess(
            fixture.directory(store), ["--upstream", fixture.hub.url, "--revalidate", "1d", "--quiet"],
            log: fixture.directory("log"))
    }

    /// Imports a cache with one snapshot of these files.
    private func importCache(_ files: [String], of commit: String, _ fixture: HubFixture, _ store: Store) throws {
        for file in files {
            try fixture.directory.write(fixture.file(file), to: "models--org--model/snapshots/\(commit)/\(file)")
        }
        try fixture.directory.write(commit, to: "models--org--model/refs/main")
        try store.importModelBlocking(ImportRequest(source: fixture.directory("models--org--model")))
    }

    @Test("a revision with some files of a commit is completed when another of them, or the list, is requested")
    func completed() throws {
        let fixture = try HubFixture()
        let commit = try fixture.store("client").pullBlocking(fixture.request(.nothing)).commit
        for (store, path) in [
            ("file", "/org/model/resolve/\(commit)/model.safetensors"), ("list", "/api/models/org/model/revision/main"),
        ] {
            do {
                let store = try Store(at: fixture.directory(store), create: true)
                try importCache(["config.json"], of: commit, fixture, store)
            }
            try fixture.hub.set()
            let server = try serve(fixture, store)
            #expect(try get("\(server.url)/org/model/resolve/main/config.json").status == 200)
            #expect(try fixture.hub.requests().isEmpty)
            #expect(try get(server.url + path).status == 200)
            #expect(
                try get("\(server.url)/org/model/resolve/main/model.safetensors").body == fixture.file())
            let list = try get("\(server.url)/api/models/org/model/tree/\(commit)?recursive=true")
            let entries = try JSONSerialization.jsonObject(with: Data(list.body)) as? [[String: Any]] ?? []
            let paths = entries.filter { $0["type"] as? String == "file" }.compactMap { $0["path"] as? String }
            #expect(paths == TemporaryDirectory.files(below: fixture.directory("hub/org/model")))
            #expect(list.fields["x-weightstore-partial"] == nil)
            // Once the list is known, a file that the commit lacks is not requested.
            try fixture.hub.set()
            #expect(try get("\(server.url)/org/model/resolve/main/nowhere.json").status == 404)
            #expect(try fixture.hub.requests().isEmpty)
            server.end()
            let revisions = try Store(at: fixture.directory(store)).revisions(of: "org/model")
            #expect(revisions.map(\.refs) == [["main"], []] && revisions.map { $0.partial == nil } == [false, true])
        }
    }

    @Test("a commit that upstream no longer has is served from the store, and the answer and the log say so")
    func gone() throws {
        let fixture = try HubFixture()
        let commit = String(repeating: "c", count: 40)
        do {
            let store = try Store(at: fixture.directory("middle"), create: true)
            try importCache(["config.json", "model.safetensors"], of: commit, fixture, store)
        }
        let server = try serve(fixture)
        for _ in 0..<2 {
            let file = try get("\(server.url)/org/model/resolve/\(commit)/tokenizer/vocab.txt")
            #expect(file.status == 404 && file.fields["x-error-code"] == "EntryNotFound")
            #expect(file.fields["x-error-message"]?.contains("the upstream hub no longer has its commit") == true)
            // A client must not remember that the commit has no such file.
            #expect(file.fields["x-repo-commit"] == nil)
        }
        let list = try get("\(server.url)/api/models/org/model/revision/\(commit)")
        #expect(list.status == 200 && String(decoding: list.body, as: UTF8.self).contains("\"partial\""))
        #expect(list.fields["x-weightstore-partial"] == "the upstream hub no longer has its commit")
        #expect(try get("\(server.url)/org/model/resolve/\(commit)/model.safetensors").body == fixture.file())
        #expect(server.logText.contains("no longer has commit \(commit) of org/model"), "\(server.logText)")
        #expect(try fixture.hub.requests().count == 1)
        let pull = try fixture.tool("middle").run(["pull", "org/model@\(commit)", "--origin", fixture.hub.url])
        #expect(pull.status == 2 && pull.errors.contains("its history was rewritten"), "\(pull.errors)")
    }

    @Test("v1 is the upstream's tag, and the store's version 1 only if upstream has none, which the answer says")
    func tags() throws {
        let fixture = try HubFixture()
        let directory = fixture.directory
        var other = TestModel(layers: 1)
        other.others["config.json"] = "{\"model_type\": \"other\"}\n"
        try other.write(to: directory("other"))
        do {
            let store = try Store(at: directory("middle"), create: true)
            try store.importModelBlocking(ImportRequest(source: directory("other"), name: "org/model"))
        }
        let server = try serve(fixture)
        let path = "\(server.url)/org/model/resolve/v1/config.json"
        let local = try get(path)
        #expect(local.body == Array((other.others["config.json"] ?? "").utf8))
        #expect(local.fields["x-weightstore-version"] == "~1")
        try fixture.hub.set(tags: ["v1"])
        // The server remembers for some seconds that the upstream had no such ref.
        #expect(try blockUntil { try get(path).fields["x-weightstore-version"] == nil })
        let tagged = try get(path)
        #expect(try tagged.body == fixture.file("config.json"))
        #expect(try get("\(server.url)/org/model/resolve/~1/config.json").body == local.body)
        let pull = try fixture.tool("second").run(["pull", "org/model@v1", "--layers", "0"])
        #expect(pull.status == 0, "\(pull.errors)")
        #expect(try Store(at: directory("second")).revisions(of: "org/model").map(\.refs) == [["v1"]])
        // A version of the store never stands for a tag that upstream may have.
        var denied = HubServer.Fault("status", "revision", times: 99)
        denied.status = 401
        try fixture.hub.set([denied])
        #expect(try get("\(server.url)/org/model/resolve/v2/config.json").status == 401)
        #expect(try get(path).body == tagged.body)
    }

    @Test("a renamed repository is served under both names, and its bytes are stored once")
    func renamed() throws {
        let fixture = try HubFixture()
        try fixture.hub.set(renamed: ["org/old": "org/model"])
        let store = try fixture.store()
        let first = try store.pullBlocking(fixture.request(FetchSelection(layers: 0...0), "org/old"))
        #expect(!first.complete)
        let read = try store.revision("org/old").bytes(of: "model.safetensors")
        #expect(try read == fixture.file())
        let stored = try store.stats().stored
        let second = try store.pullBlocking(fixture.request(FetchSelection(), "org/model"))
        #expect(second.commit == first.commit && second.complete)
        #expect(try store.stats().stored == stored)

        try fixture.hub.set(renamed: ["org/old": "org/model"])
        let server = try serve(fixture)
        for name in ["org/old", "org/model"] {
            #expect(try get("\(server.url)/\(name)/resolve/main/model.safetensors").body == fixture.file(), "\(name)")
        }
        let served = try fixture.hub.requests().filter { $0.path.hasSuffix("model.safetensors") }
        #expect(served.reduce(0) { $0 + $1.bytes } == read.count)
    }

    @Test("a pull of the commit of an imported cache is that revision: refs and pins stay, and a moved ref is named")
    func sameRevision() throws {
        let fixture = try HubFixture()
        let commit = try fixture.store("client").pullBlocking(fixture.request(.nothing)).commit
        let store = try fixture.store()
        let files = TemporaryDirectory.files(below: fixture.directory("hub/org/model"))
        try importCache(files, of: commit, fixture, store)
        try store.pin("org/model", note: "in production")
        let pulled = try store.pullBlocking(fixture.request())
        #expect(pulled.version == 1 && pulled.movedRefs.isEmpty)
        let revision = try store.revisions(of: "org/model")
        #expect(revision.map(\.refs) == [["main"]] && revision.map(\.pin) == ["in production"])
        #expect(revision.map(\.commit) == [commit] && revision.map(\.partial) == [nil])

        try fixture.directory.write("{\"model_type\": \"new\"}\n", to: "hub/org/model/config.json")
        try fixture.hub.set()
        let moved = try store.pullBlocking(fixture.request())
        #expect(moved.version == 2 && moved.movedRefs == ["main": "org/model@~1"])
    }
}
