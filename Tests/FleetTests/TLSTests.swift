import Foundation
import Origins
import TestSupport
import Testing
@testable import Fleet
@testable import WeightStore

@Suite(
    .blocking,
    .enabled(if: Engines.areInstalled, "Ceph and etcd are not installed, or this is not root; Tests/run installs them"))
struct TLSTests {
    @Test(
        "nodes with etcd over TLS share shards by https; a peer with an untrusted certificate is skipped, and its bytes are fetched from elsewhere"
    )
    func sharing() throws {
        let fixture = try FleetFixture(etcd: true, encrypted: true)
        let authority = try #require(fixture.authority)
        let base = TestModel(layers: 12)
        let store = try fixture.publisher("publisher", [base, base.tuned(seed: 5)])
        var nodes = try (0..<3).map { index in
            try NodeProcess(fixture, "node\(index)", ["org/model"] + authority.issue("node\(index)").arguments)
        }
        let untrustedAuthority = try CertificateAuthority(fixture.directory, name: "stranger's")
        nodes.append(
            try NodeProcess(fixture, "stranger", ["org/model"] + untrustedAuthority.issue("stranger").arguments))
        #expect(nodes.allSatisfy { $0.url.hasPrefix("https://127.0.0.1:") })
        try fixture.waitForPeers(nodes)
        let fleet = try fixture.fleet()
        let first = try fleet.pushBlocking(try store.revision("org/model@~1"), of: store)
        #expect(first.isAnnounced)
        try fixture.wait(for: first.digest, on: nodes)
        let second = try fleet.pushBlocking(try store.revision("org/model@~2"), of: store)
        try fixture.wait(for: second.digest, on: nodes)
        try wait(for: "the holdings of all nodes") { try fleet.status().nodes!.allSatisfy { !$0.lags } }
        let status = try fleet.status().nodes!
        #expect(status.map(\.info.url) == nodes.map { "peer+" + $0.url })
        #expect(status.allSatisfy { $0.holdings!.changeSource == "watch" })
        // An untrusted node may still request.
        #expect(status.filter { $0.holdings!.fromPeers > 0 }.count >= 3)
        let warnings = nodes.dropLast().filter {
            $0.logText.contains("\(nodes[3].url)/")
                && $0.logText.contains("not trusted: its certificate is not signed by an authority")
        }
        #expect(warnings.count == 3)
        #expect(!nodes[3].logText.contains("not trusted"))
        // The next version is shared in the same way.
        #expect(try fixture.tool("node1")("check", "org/model").status == 0)
    }
}
