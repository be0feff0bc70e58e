import Foundation
import ModelFormats
import Storage
import Support
import TestSupport
import Testing
@testable import Tiers
@testable import WeightStore

/// Parts of tensors, and tensors in memory of their own.
@Suite(.blocking) struct TensorPartsTests {
    let directory = try! TemporaryDirectory()

    private static let matrix = "model.layers.0.mlp.up_proj.weight"
    private static let rows = 2048
    /// In bytes.
    private static let row = 1024
    /// A layer with a matrix of 2 MiB.
    private static let model: TestModel = {
        var model = TestModel(layers: 1)
        model.tensors.removeAll { $0.name == matrix }
        model.tensors.append(.init(name: matrix, dtype: "U8", shape: [rows, row]))
        return model
    }()
    private static let examples = [
        TensorParts(0..<0), TensorParts(0..<rows * row), TensorParts(5 * row..<9 * row),
        // Columns, small and large, and every second row.
        TensorParts(offset: 256, bytes: 128, stride: row, count: rows),
        TensorParts(offset: row, bytes: 2 * row, stride: 4 * row, count: rows / 4),
        TensorParts(offset: 0, bytes: 128 * row, stride: 256 * row, count: 8),
        TensorParts(offset: 7, bytes: 3, stride: 3, count: 1000),
    ]

    private func expected(_ parts: TensorParts) throws -> [UInt8] {
        let info = try #require(try SafetensorsWriter(Self.model.tensors).tensors.first { $0.name == Self.matrix })
        let bytes = Self.model.bytes(of: info)
        return (0..<parts.count).flatMap { part in
            let start = parts.offset + part * parts.stride
            return bytes[start..<start + parts.bytes]
        }
    }

    private func read(_ parts: TensorParts, from revision: Revision) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0xAA, count: parts.totalBytes)
        try buffer.withUnsafeMutableBytes { try revision.read(parts, ofTensor: Self.matrix, into: $0) }
        return buffer
    }

    private func hub() throws -> RecordingHub {
        try Self.model.write(to: directory("model"))
        return RecordingHub(path: "model.safetensors", bytes: try contents(directory("model/model.safetensors")))
    }

    private func pulled(_ hub: RecordingHub, _ selection: FetchSelection) throws -> Store {
        let store = try Store(at: directory("store"), create: true)
        store.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        request.selection = selection
        try store.pullBlocking(request)
        _ = hub.reads()
        return store
    }

    @Test("parts of a stored tensor are the bytes of its file")
    func stored() throws {
        let store = try pulled(try hub(), FetchSelection())
        let revision = try store.revision("org/model")
        for parts in Self.examples {
            let found = try read(parts, from: revision)
            #expect(try found == expected(parts), "\(parts)")
        }
    }

    @Test("parts that overlap, or do not lie in the tensor or fit into the buffer, are refused")
    func refused() throws {
        let store = try pulled(try hub(), FetchSelection())
        let revision = try store.revision("org/model")
        let end = Self.rows * Self.row
        func refuses(_ parts: TensorParts, room: Int = 64) throws -> Bool {
            var buffer = [UInt8](repeating: 0, count: room)
            do {
                try buffer.withUnsafeMutableBytes { try revision.read(parts, ofTensor: Self.matrix, into: $0) }
                return false
            } catch StorageError.invalid {
                return true
            }
        }
        for parts in [
            TensorParts(end..<end + 1), TensorParts(offset: 0, bytes: 8, stride: 4, count: 2),
            TensorParts(offset: 1, bytes: 1, stride: .max, count: 3),
            TensorParts(offset: .max, bytes: .max, stride: .max, count: .max),
            TensorParts(offset: -1, bytes: 1, stride: 1, count: 1),
            TensorParts(offset: 0, bytes: -1, stride: 1, count: 1),
            TensorParts(offset: 0, bytes: 1, stride: 1, count: -1),
        ] {
            #expect(try refuses(parts), "\(parts)")
        }
        #expect(try refuses(TensorParts(0..<65)))
        #expect(try !refuses(TensorParts(0..<64)))
        #expect(throws: StorageError.self) {
            try revision.read(TensorParts(0..<1), ofTensor: "none", into: .init(start: nil, count: 0))
        }
    }

    @Test("parts that were never fetched, or were evicted, are read from the origin alone, and not stored")
    func passedThrough() throws {
        let hub = try hub()
        for isEvicted in [false, true] {
            try? FileManager.default.removeItem(atPath: directory("store"))
            let store = try pulled(hub, isEvicted ? FetchSelection() : .nothing)
            if isEvicted { try store.evictBlocking(EvictionRequest(.downTo(0))) }
            _ = hub.reads()
            let revision = try store.revision("org/model")
            let isThere = try revision.isStored(tensor: Self.matrix, in: nil)
            #expect(!isThere)
            for parts in Self.examples where parts.totalBytes > 0 && parts.totalBytes < Self.rows * Self.row {
                let found = try read(parts, from: revision)
                #expect(try found == expected(parts), "\(parts)")
                // From the first byte of the first part to the last one of the last at most.
                let bytesRead = hub.reads().reduce(0) { $0 + $1.count }
                #expect(bytesRead <= (parts.count - 1) * parts.stride + parts.bytes, "\(parts)")
            }
            let isStillThere = try revision.isStored(tensor: Self.matrix, in: nil)
            #expect(!isStillThere)
            // The whole tensor is fetched and stored.
            let whole = TensorParts(0..<Self.rows * Self.row)
            let found = try read(whole, from: revision)
            #expect(try found == expected(whole))
            #expect(!hub.reads().isEmpty)
            _ = try read(whole, from: revision)
            #expect(hub.reads().isEmpty)
        }
    }

    @Test("a writable lease is each tensor's own memory, of which the tier has no bytes when it ends")
    func writable() throws {
        let store = try pulled(try hub(), FetchSelection())
        let revision = try store.revision("org/model")
        var leases = [try revision.leasePrivately(), try revision.leasePrivately()]
        let index = try #require(leases[0].lease.tensors.firstIndex { $0.entry.name == Self.matrix })
        let memory = try leases.map { try #require($0.memory[index]) }
        let count = memory[0].count
        let bytes = memory.compactMap { UnsafeMutableRawPointer(bitPattern: $0.address) }
        #expect(bytes.count == 2 && bytes[0] != bytes[1])
        bytes[0].initializeMemory(as: UInt8.self, repeating: 7, count: count)
        let whole = TensorParts(0..<count)
        let other = Array(UnsafeRawBufferPointer(start: bytes[1], count: count))
        #expect(try other == expected(whole))
        let stored = try read(whole, from: revision)
        #expect(try stored == expected(whole))
        let one = leases[1].share(index)
        leases = []
        let gauge = try #require(store.gauges.first { $0.tier == .ram })
        let shard = try #require(one.lease.tensors[0].shard)
        #expect(gauge.leased == shard.bytes)
        #expect(gauge.bytes == shard.bytes)
        one.lease.release()
        let after = try #require(store.gauges.first { $0.tier == .ram })
        #expect(after.leased == 0)
        #expect(after.bytes == 0)
        withExtendedLifetime(memory) {}
    }

    @Test("readers and writers of one tensor have memory of their own, and a lazy lease reads when it is accessed")
    func beside() throws {
        let store = try pulled(try hub(), FetchSelection())
        let revision = try store.revision("org/model")
        let lazy = try revision.leasePrivately(tensor: Self.matrix, reads: false)
        let shared = try revision.leaseBlocking(tensor: Self.matrix, in: .ram)
        let memory = try #require(lazy.memory[0])
        let bytes = try expected(TensorParts(0..<memory.count))
        try lazy.read(0, 100..<memory.count, nil)
        let address = try #require(UnsafeRawPointer(bitPattern: memory.address))
        let found = Array(UnsafeRawBufferPointer(start: address, count: memory.count))
        #expect(found == bytes)
        let shares = shared.address(of: shared.tensors[0]) == UInt64(memory.address)
        #expect(!shares)
        let sharedBytes = try shared.withUnsafeBytes(of: shared.tensors[0]) { Array($0) }
        #expect(sharedBytes == bytes)
    }
}
