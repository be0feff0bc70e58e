import Foundation
import ModelFormats
import Support
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// The first lease of all tensors of a revision or a file, which begins the loads before it reads the tensors.
@Suite(.blocking) struct WholeLeaseTests {
    let directory = try! TemporaryDirectory()
    let model = TestModel(layers: 3)

    /// Runs a hook when the tensors of a revision are read from the catalog.
    private final class TensorReads: Sendable {
        private let hook = Mutex<(@Sendable () -> Void)?>(nil)

        func set(_ body: @escaping @Sendable () -> Void) { hook.withLock { $0 = body } }

        func note(_ sql: String) {
            guard sql.contains("tensor.shape"), let hook = hook.withLock({ $0 }) else { return }
            hook()
        }
    }

    private let reads = TensorReads()

    /// A store with the model in two files.
    private func imported(to tier: Tier, budget: Int = 64 << 20) throws -> Store {
        try model.write(to: directory("model"), files: 2)
        let store = try Store(at: directory("store"), create: true) { [reads] in reads.note($0) }
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        try store.open(tier, TierOptions(budget: budget))
        return store
    }

    /// The bytes that were loading or loaded in the first tier whenever tensors were read.
    private func bytesAtReads(of store: Store) -> Shared<Mutex<[Int]>> {
        let bytes = Shared(Mutex<[Int]>([]))
        reads.set { [weak store] in
            guard let gauge = store?.gauges.first else { return }
            bytes.value.withLock { $0.append(gauge.bytes + gauge.loading) }
        }
        return bytes
    }

    @Test(
        "the loads of a lease of all tensors begin before the tensors are read, in each tier",
        arguments: TierTests.tiers)
    func all(tier: Tier) async throws {
        let store = try imported(to: tier)
        let bytes = bytesAtReads(of: store)
        let lease = try await store.revision("model").lease(in: tier)
        let gauge = store.gauges[0]
        #expect(gauge.bytes == gauge.loaded && gauge.leased == gauge.bytes)
        let found = bytes.value.withLock { $0 }
        #expect(!found.isEmpty && found.allSatisfy { $0 == gauge.bytes })
        #expect(lease.tensors.count == model.tensors.count)
        let writer = try SafetensorsWriter(model.tensors)
        for tensor in lease.tensors {
            let info = try #require(writer.tensors.first { $0.name == tensor.entry.name })
            let read = try lease.withUnsafeBytes(of: tensor) { Array($0) }
            #expect(read == model.bytes(of: info), "\(tensor.entry.name)")
        }
    }

    @Test("a blocking lease of a file begins the loads of that file alone", arguments: TierTests.tiers)
    func file(tier: Tier) throws {
        let store = try imported(to: tier)
        let bytes = bytesAtReads(of: store)
        let revision = try store.revision("model")
        let path = try #require(try revision.files().map(\.path).first { $0.hasSuffix(".safetensors") })
        let lease = try revision.leaseBlocking(file: path, in: tier)
        let gauge = store.gauges[0]
        let found = bytes.value.withLock { $0 }
        #expect(!found.isEmpty && found.allSatisfy { $0 == gauge.loaded })
        #expect(lease.tensors.allSatisfy { $0.entry.file == path })
        #expect(lease.tensors.count < model.tensors.count && gauge.leased == gauge.loaded)
        #expect(throws: StorageError.self) { try store.revision("model").leaseBlocking(file: "absent", in: tier) }
    }

    @Test("each shard of a first lease counts once: as a miss, and in the next revision value as a hit")
    func counts() async throws {
        let store = try imported(to: .ram)
        let first = try await store.revision("model").lease(in: .ram)
        let cold = store.gauges[0]
        #expect(cold.misses == cold.shards && cold.hits == 0)
        let second = try await store.revision("model").lease(in: .ram)
        let warm = store.gauges[0]
        #expect(warm.misses == cold.misses && warm.hits == cold.shards && warm.loaded == cold.loaded)
        first.release()
        #expect(store.gauges[0].leased == cold.bytes)
        second.release()
        #expect(store.gauges[0].leased == 0)
    }

    @Test("neither opening a revision nor reading its tensors, layers and residency loads anything")
    func opening() throws {
        let store = try imported(to: .ram)
        let revision = try store.revision("model")
        _ = try (revision.tensorEntries(), revision.layers(), revision.info(), revision.residency(in: .ram))
        let gauge = store.gauges[0]
        #expect(gauge.loaded == 0 && gauge.loading == 0)
    }

    @Test("a first lease that exceeds the budget loads and evicts nothing")
    func budget() async throws {
        let store = try imported(to: .ram, budget: 3 << 20)
        let held = try await store.revision("model").lease(layer: 0, in: .ram)
        held.release()
        let before = store.gauges[0]
        let error = await #expect(throws: TierError.self) { try await store.revision("model").lease(in: .ram) }
        guard case .full = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        let after = store.gauges[0]
        #expect(after.bytes == before.bytes && after.loaded == before.loaded && after.evictions == 0)
    }

    @Test("a first lease that is cancelled while the tensors are read ends its loads, and holds nothing")
    func cancel() throws {
        let store = try imported(to: .ram)
        let absent = try #require(try store.revision("model").tensorEntries().last?.shard)
        try FileManager.default.removeItem(atPath: store.blobPath(absent))
        // An origin that never answers.
        store.tiers.fetches { _, work, _ in
            for _ in 0..<6000 {
                try work.check()
                usleep(10_000)
            }
        }
        let work = Work()
        reads.set { work.cancel() }
        #expect(throws: CancellationError.self) { try store.revision("model").leaseBlocking(in: .ram, work: work) }
        let hasEnded = try blockUntil { store.gauges[0].loading == 0 && store.gauges[0].leased == 0 }
        #expect(hasEnded)
    }
}
