import Origins
import TestSupport
import Testing
import WeightStore

/// Connections that break in transit, by a test proxy between client and server.
@Suite(.blocking) struct ConnectionTests {
    private static let each: [[FaultProxy.Fault]] = [
        [.reset(after: 0), .reset(after: 50), .reset(after: 300_000), .reset(after: 700_000)],
        [.close(after: 0), .close(after: 120), .close(after: 300_000), .close(after: 900_000)],
        [.stall(after: 0), .stall(after: 200_000)],
        [.reset(after: 400_000), .close(after: 500_000), .stall(after: 600_000), .reset(after: 10)],
    ]

    @Test("connections that break or stall are opened again, and the pull succeeds", arguments: each)
    func breaking(faults: [FaultProxy.Fault]) throws {
        // A tree without redirects: all requests pass the proxy.
        let fixture = try HubFixture()
        let nginx = try NGINX(fixture, redirecting: false)
        let proxy = try FaultProxy(to: nginx.port, faults)
        let store = try fixture.store(idle: 0.5, attempts: 6)
        let summary = try store.pullBlocking(fixture.request(from: "http://127.0.0.1:\(proxy.port)"))
        #expect(summary.complete && proxy.left == 0)
        #expect(try summary.fetched == fixture.bytes)
        #expect(try store.revision("org/model").bytes(of: "model.safetensors") == fixture.file())
    }

    @Test("a byte that is changed in transit is detected, and the next pull is whole")
    func flipped() throws {
        let fixture = try HubFixture()
        let nginx = try NGINX(fixture, redirecting: false)
        let proxy = try FaultProxy(to: nginx.port, (0..<3).map { _ in .flip(at: 400_000) })
        let store = try fixture.store()
        var failures = 0
        while failures < 5 {
            do {
                try store.pullBlocking(fixture.request(from: "http://127.0.0.1:\(proxy.port)"))
                break
            } catch FetchError.wrongDigest {
                failures += 1
            }
        }
        #expect((1..<5).contains(failures))
        #expect(try store.revision("org/model").bytes(of: "model.safetensors") == fixture.file())
    }
}
