import Foundation
import Glibc
import Origins
import TestSupport
import Testing
@testable import Fleet
@testable import WeightStore

@Suite(
    .blocking,
    .enabled(
        if: Engines.areInstalled && FileManager.default.isExecutableFile(atPath: "/usr/sbin/ip"),
        "needs root, iproute2, Ceph and etcd"))
struct PartitionTests {
    @Test(
        "a node that is cut off from all others keeps serving its shards without delay, and catches up when the link is restored"
    )
    func partition() throws {
        let network = try Namespace()
        let fixture = try FleetFixture(etcdAt: network.host)
        let store = try fixture.publisher("publisher", (1...3).map { TestModel(layers: 2, seed: UInt64($0)) })
        let (port, gateway) = try fixture.objects.gateway("\(network.host):0")
        defer { kill(gateway, SIGKILL) }
        let environment = [
            "WEIGHTSTORE_ORIGIN": fixture.url(port: port, host: network.host), "WEIGHTSTORE_INSECURE": "1",
        ]
        let near = try (0..<2).map {
            try NodeProcess(fixture, "near\($0)", ["org/model", "--host", network.host], environment: environment)
        }
        let far = try NodeProcess(
            fixture, "far", ["org/model", "--host", network.address], prefix: network.prefix, environment: environment)
        try fixture.waitForPeers(near + [far])
        let fleet = try fixture.fleet()
        let first = try fleet.pushBlocking(try store.revision("org/model@~1"), of: store)
        try fixture.wait(for: first.digest, on: near + [far])

        try network.cut()
        let second = try fleet.pushBlocking(try store.revision("org/model@~2"), of: store)
        try fixture.wait(for: second.digest, on: near)
        #expect(try far.main() == first.digest)
        #expect(try Store(at: far.store).verifyBlocking().damage.isEmpty)
        // Its lease ends, and the operator sees it missing.
        try wait(for: "the removal of the node that is cut off") {
            try fleet.status().nodes!.map(\.info.name) == near.map(\.name)
        }

        try network.restore()
        try fixture.wait(for: second.digest, on: [far])
        try wait(for: "the return of the node") { try fleet.status().nodes!.count == 3 }
        let third = try fleet.pushBlocking(try store.revision("org/model@~3"), of: store)
        try fixture.wait(for: third.digest, on: near + [far])
    }
}
