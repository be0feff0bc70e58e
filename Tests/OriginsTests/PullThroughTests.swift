import Foundation
import Origins
import TestSupport
import Testing
import WeightStore

@Suite(.blocking) struct PullThroughTests {
    @Test(
        "a server with an empty store serves every file, each byte from upstream once, and then serves without upstream"
    )
    func chain() throws {
        var fixture: HubFixture? = try HubFixture(TestModel(layers: 2), files: 2)
        let directory = try TemporaryDirectory()
        let server = try ChildProcess.daemon([
            Tool.path, "serve", "--port", "0", "--store", directory("middle"), "--upstream", fixture!.hub.url,
            "--quiet",
        ])
        let url = try server.line()
        let client = try fixture!.store("client")
        let first = try client.pullBlocking(fixture!.request(from: url))
        #expect(first.complete)
        #expect(try fixture!.hub.served() == fixture!.bytes)
        let revision = try client.revision("org/model")
        for file in try revision.files() { #expect(try revision.bytes(of: file.path) == fixture!.file(file.path)) }

        // Upstream is stopped.
        let request = try fixture!.request(from: url)
        fixture = nil
        let second = try Store(at: directory("second"), create: true)
        second.register(scheme: "http") { try HubOrigin($0, token: "") }
        #expect(try second.pullBlocking(request).digest == first.digest)
    }

    @Test("what an upstream denies or lacks is answered at once with its status, and is requested only once")
    func denied() throws {
        let fixture = try HubFixture()
        let directory = try TemporaryDirectory()
        func serve(_ name: String, token: String) throws -> ChildProcess {
            try ChildProcess.daemon([
                "/usr/bin/env", "HF_TOKEN=\(token)", "HF_TOKEN_PATH=/nowhere", Tool.path, "serve", "--port", "0",
                "--store", directory(name), "--upstream", fixture.hub.url, "--quiet",
            ])
        }
        func head(_ url: String) throws -> String {
            let answer = try ChildProcess.run(["curl", "-s", "-D", "-", "-o", "/dev/null", url])
            let head = String(decoding: answer.bytes, as: UTF8.self).lowercased()
            #expect(!head.contains("retry-after"), "\(head)")
            return head
        }
        for token in ["", "hf_wrong"] {
            try fixture.hub.set(token: "hf_topsecret")
            let server = try serve("denied\(token)", token: token)
            let url = try server.line()
            #expect(try head("\(url)/api/models/org/model/revision/main").hasPrefix("http/1.1 401"))
            #expect(try fixture.hub.requests().count == 1)
            let client = try fixture.store("client\(token)")
            let refused = #expect(throws: FetchError.self) { try client.pullBlocking(fixture.request(from: url)) }
            guard case .unauthorized(_, 401, _, _) = refused else {
                Issue.record("\(refused.map { "\($0)" } ?? "")")
                continue
            }
            // Remembered for some seconds.
            #expect(try fixture.hub.requests().count <= 2)
        }

        // The token is right for the listing. Then the upstream takes it back, and then it lacks the file.
        try fixture.hub.set(token: "hf_topsecret")
        let server = try serve("listed", token: "hf_topsecret")
        let url = try server.line()
        #expect(try head("\(url)/api/models/org/model/revision/main").hasPrefix("http/1.1 200"))
        // The content network rejects the address that the server has, so the server requests another from the hub.
        var signature = HubServer.Fault("status", "^/org/model/model", times: 99)
        signature.status = 403
        try fixture.hub.set([signature], token: "another")
        #expect(try head("\(url)/org/model/resolve/main/model.safetensors").hasPrefix("http/1.1 401"))
        var lost = HubServer.Fault("status", "resolve", times: 99)
        lost.status = 404
        try fixture.hub.set([signature, lost], token: "hf_topsecret")
        let answer = try head("\(url)/org/model/resolve/main/model.safetensors")
        #expect(answer.hasPrefix("http/1.1 404") && answer.contains("x-error-code: entrynotfound"), "\(answer)")
    }

    @Test(
        "the Python client gets the real model from an empty store, each byte from upstream once; a second one without upstream",
        .enabled(if: RealModel.path != nil, "WEIGHTSTORE_REAL_MODEL is not set; Tests/run sets it"),
        .enabled(if: HubPython.path != nil, "WEIGHTSTORE_HUB_PYTHON is not set; Tests/run sets it"))
    func python() throws {
        let source = try #require(RealModel.path)
        let directory = try TemporaryDirectory()
        try FileManager.default.createDirectory(atPath: directory("hub/org"), withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: source, toPath: directory("hub/org/real"))
        var hub: HubServer? = try HubServer(directory("hub"))
        let server = try ChildProcess.daemon([
            Tool.path, "serve", "--port", "0", "--store", directory("store"), "--upstream", hub!.url, "--quiet",
        ])
        let line = try server.line()
        let names = TemporaryDirectory.files(below: source)
        let bytes = try names.reduce(0) { try $0 + contents("\(source)/\($1)").count }
        for client in ["first", "second"] {
            let snapshot = try download("org/real", from: line, to: directory(client))
            #expect(TemporaryDirectory.files(below: snapshot) == names)
            for name in names {
                #expect(try contents("\(snapshot)/\(name)") == contents("\(source)/\(name)"), "\(name)")
            }
            if let served = try hub?.served() { #expect(served == bytes) }
            hub = nil
        }
    }

    /// `snapshot_download`, with a cache of its own.
    ///
    /// - Returns: the directory of the snapshot.
    private func download(_ model: String, from endpoint: String, to cache: String) throws -> String {
        try ChildProcess.check(
            try #require(HubPython.path), "-c", "import huggingface_hub as h; print(h.snapshot_download('\(model)'))",
            environment: HubPython.withoutProxies.merging([
                "HF_ENDPOINT": endpoint, "HF_HOME": cache, "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            ]) { $1 }
        ).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
