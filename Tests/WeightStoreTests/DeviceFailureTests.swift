import DeviceMemory
import Foundation
import ModelFormats
import TestSupport
import Testing
@testable import Tiers
@testable import WeightStore

/// A tier on a GPU whose driver is the test double, which counts live objects and forbidden calls.
@Suite(.blocking) struct DeviceFailureTests {
    let directory = try! TemporaryDirectory()
    let store: Store
    let model = TestModel(layers: 3)

    init() throws {
        try model.write(to: directory("base"))
        store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("base")))
    }

    /// Loads the whole model onto a GPU of the double's, twice, and ends all leases.
    private func load(_ double: CUDADouble, budget: Int = 64 << 20) async throws {
        let device = try double.open()
        let medium = DeviceMedium(
            arena: DeviceArena(device, budget: budget),
            uploader: try Uploader(device, buffers: 3, bufferBytes: 1 << 18, fillers: 2))
        let memory = MemoryTier(.gpu, medium: medium, budget: budget) { [store] in store.blobs.path($0) }
        let revision = try store.revision("base")
        let view = RevisionView(try revision.places(), in: memory, name: "base", hold: revision.hold)
        do {
            for _ in 0..<2 {
                let lease = try await view.part(.all, Work()).lease()
                for tensor in lease.tensors {
                    let writer = try SafetensorsWriter(model.tensors)
                    let info = try #require(writer.tensors.first { $0.name == tensor.entry.name })
                    #expect(try lease.withUnsafeBytes(of: tensor) { Array($0) } == model.bytes(of: info))
                }
                lease.release()
                memory.clear()
            }
        } catch {
            try await eventually { memory.gauge.loading == 0 }
            #expect(memory.isExact && memory.gauge.leased == 0 && memory.gauge.loading == 0)
            // A load that fails is no miss: the uses include all misses.
            #expect(memory.gauge.hits >= 0)
            memory.clear()
            throw error
        }
    }

    /// Waits until the uploader's threads have released their values.
    private func expectNothingLives(_ double: CUDADouble, _ what: String) async throws {
        try await eventually { double.live == 0 }
        #expect(double.live == 0, "\(what): \(double.liveWords)")
        #expect(double.violations.isEmpty, "\(what): \(double.violations)")
    }

    @Test("a load moves each byte once, through pinned buffers, and leaves nothing behind")
    func whole() async throws {
        let double = try CUDADouble()
        try await load(double)
        try await expectNothingLives(double, "no failure")
        // At most once for each load: the first one's memory was returned between them.
        #expect(1...2 ~= double.calls("cuMemAlloc_v2"))
    }

    @Test(
        "for each driver call that fails, the error is typed, the accounts are right, and nothing leaks",
        arguments: [
            "cuMemAlloc_v2", "cuMemHostAlloc", "cuStreamCreate", "cuEventCreate", "cuEventRecord",
            "cuMemcpyHtoDAsync_v2", "cuEventSynchronize", "cuCtxPushCurrent_v2", "cuDevicePrimaryCtxRetain",
        ])
    func failing(function: String) async throws {
        for nth in [1, 2, 5, 17] {
            let double = try CUDADouble()
            double.fail(function, nth: nth, code: 999)
            do {
                try await load(double)
            } catch let error as DeviceError {
                #expect("\(error)".contains("cu"), "\(error)")
            }
            try await expectNothingLives(double, "\(function) \(nth)")
        }
    }

    @Test("a copy that fails while it runs is reported, and its shard is not resident")
    func failingCopy() async throws {
        for nth in [1, 3, 9] {
            let double = try CUDADouble()
            double.failCopy(nth: nth, code: 700)
            await #expect(throws: DeviceError.self) { try await load(double) }
            try await expectNothingLives(double, "copy \(nth)")
        }
    }

    @Test("a device with less memory than a load needs is reported")
    func small() async throws {
        let double = try CUDADouble()
        double.setDevices(1, bytes: 4 << 20)
        let error = await #expect(throws: DeviceError.self) { try await load(double) }
        guard case .outOfMemory = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        try await expectNothingLives(double, "out of memory")
    }
}
