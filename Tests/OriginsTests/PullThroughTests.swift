import Foundation
import Origins
import TestSupport
import Testing
import WeightStore

@Suite struct PullThroughTests {
    @Test("a server with an empty store gives all, each byte from upstream once; then it does without upstream")
    func chain() throws {
        var scene: Scene? = try Scene(TestModel(layers: 2), files: 2)
        let directory = try TemporaryDirectory()
        let server = try Daemon([
            Tool.path, "serve", "--port", "0", "--store", directory("middle"), "--upstream", scene!.hub.url, "--quiet",
        ])
        let url = try server.line()
        let client = try scene!.store("client")
        let first = try client.pull(scene!.request(from: url))
        #expect(first.complete)
        #expect(try scene!.hub.served() == scene!.bytes)
        let revision = try client.revision("org/model")
        for file in try revision.files() { #expect(try revision.bytes(of: file.path) == scene!.file(file.path)) }

        // Upstream is gone.
        let request = try scene!.request(from: url)
        scene = nil
        let second = try Store(at: directory("second"), create: true)
        second.register(scheme: "http") { try HubOrigin($0, token: "") }
        #expect(try second.pull(request).digest == first.digest)
    }
}
