import Foundation
import TestSupport
import Testing

@testable import DeviceMemory
@testable import WeightStore

/// A kind of device that the library does not know becomes a tier like any other.
@Suite(.blocking) struct DeviceKindTierTests {
    private enum Drawer: DeviceKind {
        static let name = "drawer"
        static let isNumbered = true
        static let isHostMemory = true
        static let dlpackType: Int32 = 1

        static func open(_ number: Int) throws(DeviceError) -> any Device {
            HostDevice(name: DeviceName(Drawer.self, number))
        }
    }

    let directory = try! TemporaryDirectory()

    @Test("devices of a kind that a test defines are tiers of a store: each has its own budget, leases and gauge")
    func tiers() async throws {
        DeviceKinds.register(Drawer.self)
        let store = try Store(at: directory("store"), create: true)
        let model = TestModel(layers: 1)
        try model.write(to: directory("model"))
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        let infos = try SafetensorsWriter(model.tensors).tensors

        // More than the former fixed number of tiers.
        let tiers = try (0..<20).map { try Tier("drawer:\($0)") }
        var leases: [Lease] = []
        for (number, tier) in tiers.enumerated() {
            try store.open(tier, TierOptions(budget: (64 + number) << 20))
            let lease = try await revision.lease(layer: 0, in: tier)
            #expect(lease.tier == tier)
            for tensor in lease.tensors {
                let info = try #require(infos.first { $0.name == tensor.entry.name })
                #expect(try lease.withUnsafeBytes(of: tensor) { Array($0) } == model.bytes(of: info))
            }
            leases.append(lease)
        }
        for (number, tier) in tiers.enumerated() {
            let gauge = try #require(store.gauges.first { $0.tier == tier })
            #expect(
                gauge.budget == (64 + number) << 20 && gauge.misses > 0 && gauge.leased > 0
                    && gauge.leased == gauge.bytes)
        }
        leases.removeFirst().release()
        #expect(store.gauges.filter { $0.leased == 0 }.map { "\($0.tier)" } == ["drawer:0"])
        #expect(try String(decoding: JSONEncoder().encode([tiers[3]]), as: UTF8.self) == #"["drawer:3"]"#)
    }
}
