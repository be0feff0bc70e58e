import Foundation
import Origins
import TestSupport
import Testing
import WeightStore

@Suite(.blocking, .enabled(if: NGINX.path != nil, "nginx is not installed; Tests/run installs it"))
struct WebServerTests {
    @Test("a tree served by nginx is pulled, by layer and then whole, each byte once", arguments: [true, false])
    func pull(redirecting: Bool) throws {
        let fixture = try HubFixture(TestModel(layers: 4), files: 2)
        let nginx = try NGINX(fixture, redirecting: redirecting)
        let store = try fixture.store()
        try store.pullBlocking(fixture.request(FetchSelection(layers: 2...2), from: nginx.url))
        _ = try store.revision("org/model").layer(3)
        #expect(try store.pullBlocking(fixture.request(from: nginx.url)).complete)
        let revision = try store.revision("org/model")
        for file in try revision.files() { #expect(try revision.bytes(of: file.path) == fixture.file(file.path)) }
    }
}
