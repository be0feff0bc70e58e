import GRDB
import Glibc
import Support
import TestSupport
import Testing
@testable import Storage
@testable import WeightStore

/// Numbers from outside, from the catalog and from disk never trap.
@Suite(.blocking) struct OutsideNumbersTests {
    let directory = try! TemporaryDirectory()

    private func imported() throws -> Store {
        try TestModel(layers: 2).write(to: directory("model"))
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        return store
    }

    @Test("a file with a time that does not fit 64 bits of nanoseconds is imported", arguments: [2400, 1600, 2262])
    func times(year: Int) throws {
        try TestModel(layers: 1).write(to: directory("model"))
        let seconds = (year - 1970) * 31_556_952
        var times = [timespec(tv_sec: seconds, tv_nsec: 999_999_999), timespec(tv_sec: seconds, tv_nsec: 0)]
        #expect(utimensat(AT_FDCWD, directory("model/config.json"), &times, 0) == 0)
        let store = try Store(at: directory("store"), create: true)
        for _ in 0..<2 {
            #expect(try store.importModelBlocking(ImportRequest(source: directory("model"))).revisions.count == 1)
        }
        var request = ImportRequest(source: directory("model"), name: "moved")
        request.move = true
        #expect(try store.importModelBlocking(request).moved == 3)
    }

    @Test("extreme times of a file compare, and are older or newer")
    func status() {
        var facts = stat()
        for seconds in [Int.min, -1, 0, 1, 9_223_372_036, 13_569_465_600, Int.max] {
            (facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec) = (seconds, 999_999_999)
            let status = FileStatus(facts)
            #expect(status == FileStatus(facts))
            #expect(status.isOlder(than: 0, at: .max) == (status.modified < .max))
            #expect(!status.isOlder(than: 0, at: .min))
        }
    }

    @Test("any size can be requested of an eviction", arguments: [Int.max, Int.max / 2 + 1, 0, -1, .min])
    func evict(bytes: Int) throws {
        let store = try imported()
        #expect(try store.evictBlocking(EvictionRequest(.free(bytes))).bytes == 0)
        #expect(try store.evictBlocking(EvictionRequest(.downTo(bytes))).bytes == 0)
        _ = try store.victims(of: .lru, bytes: bytes)
    }

    @Test("any quota and any watermark can be set")
    func quota() throws {
        let store = try imported()
        var quota = Quota(bytes: .max)
        (quota.high, quota.low) = (1, 1)
        try store.setQuota(quota)
        #expect(try store.quota(of: .weights).highBytes == .max)
        _ = try store.evictBlocking(EvictionRequest(.quota))
    }

    @Test("a range of layers beyond the last one is refused", arguments: [0...Int.max, 1...Int.max, Int.max...Int.max])
    func layers(range: ClosedRange<Int>) throws {
        let revision = try imported().revision("model")
        #expect(throws: StorageError.self) { try revision.leaseBlocking(layers: range, in: .ram) }
        #expect(throws: StorageError.self) { try revision.prefetch(layers: range, in: .ram) }
    }

    @Test("a layer with the greatest number is a layer")
    func greatestLayer() throws {
        let name = "model.layers.\(Int.max).weight"
        let writer = try SafetensorsWriter([.init(name: name, dtype: "U8", shape: [8])])
        try directory.write(writer.header + [UInt8](repeating: 1, count: 8), to: "model/model.safetensors")
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        #expect(try revision.layers().map(\.number) == [.max])
        try revision.leaseBlocking(layer: .max, in: .ram).release()
    }

    @Test("the strides of a tensor without elements and with huge dimensions are finite")
    func strides() throws {
        let huge = 1 << 62
        let writer = try SafetensorsWriter([.init(name: "layers.0.w", dtype: "U8", shape: [0, huge, huge])])
        try directory.write(writer.header, to: "model/model.safetensors")
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let lease = try store.revision("model").leaseBlocking(in: .ram)
        #expect(lease.tensors[0].strides == [.max, huge, 1])
    }

    @Test("an extent in the catalog that does not lie in its shard is damage, not a read of other memory")
    func damagedExtent() throws {
        let store = try imported()
        try store.catalog.write { db in
            try db.execute(sql: "PRAGMA ignore_check_constraints = ON")
            try db.execute(sql: "UPDATE extent SET shard_offset = 9223372036854775000 WHERE length > 1000000")
        }
        let revision = try store.revision("model")
        func isDamage(_ error: any Error) -> Bool {
            if case StorageError.catalogDamaged = error { true } else { false }
        }
        #expect(performing: { try revision.read("model.safetensors") { _ in } }, throws: isDamage)
        #expect(performing: { try revision.tensor("model.layers.0.mlp.up_proj.weight") }, throws: isDamage)
        #expect(performing: { try revision.leaseBlocking(in: .ram) }, throws: isDamage)
        let entry = try #require(try revision.entry("model.safetensors"))
        #expect(performing: { try revision.bytes(of: entry, in: 0..<entry.bytes) }, throws: isDamage)
    }

    @Test(
        "a record of a model with numbers that are too large to increment is refused",
        arguments: ["-1", "9223372036854775807", "9223372036854775808", "1e300", "\"1\""])
    func records(number: String) {
        func record(_ sequence: String, _ version: String) -> [UInt8] {
            Array(
                """
                {"weightstore": "record 1", "model": "m", "sequence": \(sequence), "lastVersion": \(version), \
                "createdAt": 0, "revisions": [], "refs": {}, "origins": []}
                """.utf8)
        }
        #expect(throws: Never.self) { try ModelRecord(decoding: record("1", "1"), path: "r") }
        #expect(throws: StorageError.self) { try ModelRecord(decoding: record(number, "1"), path: "r") }
        #expect(throws: StorageError.self) { try ModelRecord(decoding: record("1", number), path: "r") }
    }

    @Test("random records and manifests are refused or decoded, and cause no trap")
    func random() {
        let pieces = [
            "weightstore manifest 1\n", "file ", "pending ", "shard ", "extent ", "tensor ", "commit ", "\n", " ", "0",
            "7",
            "9223372036854775807", "-1", "\u{FF11}", String(repeating: "a", count: 64),
            String(repeating: "b", count: 40),
            "other", "safetensors", "U8", "-", ",", "f", "\\", "\\n", "\u{301}", "{", "}", "[", "]", ":", "\"", "1e999",
            #""weightstore": "record 1""#, #""refs": {"a": "b"}"#, "\u{0}",
        ]
        for _ in 0..<5000 {
            let count = Int.random(in: 0...20)
            var text = Bool.random() ? "weightstore manifest 1\n" : ""
            for _ in 0..<count { text += pieces.randomElement() ?? "" }
            _ = try? Manifest(decoding: Array(text.utf8), path: "m")
            _ = try? ModelRecord(decoding: Array(text.utf8), path: "r")
        }
    }

    @Test("a trace with extreme times and sizes is refused or replayed")
    func traces() throws {
        for text in [
            "0,a,9223372036854775807\n1,b,1\n", "nan,a,1\n0,b,1\n", "0,a,-1\n1,b,1\n", "0,a,\u{FF11}\n1,b,1\n",
        ] {
            try directory.write(text, to: "trace")
            _ = try? AccessTrace(files: [directory("trace")])
        }
        try directory.write("0,caf\u{E9},281474976710656\n1,cafe\u{301},281474976710656\n2,c,1\n", to: "trace")
        let trace = try AccessTrace(files: [directory("trace")])
        #expect(trace.objects.count == 3)
        let curve = try MissRatioCurve.simulateBlocking(trace, policies: [.lru], quotas: [1, .max])
        #expect(curve.lines.count == 2)
    }

    @Test("bytes outside of the tensors that are too many to gather in memory are refused by a fetch")
    func gapShard() throws {
        // 600 MiB after the last tensor, which a GGUF may have, and the header before it: one shard in two places.
        let hub = SparseGGUF()
        let store = try Store(at: directory("store"), create: true)
        store.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        #expect { try store.pullBlocking(request) } throws: { "\($0)".contains("outside of its tensors") }
    }

    /// A GGUF with one tensor of 32 bytes, and zeros behind it.
    private struct SparseGGUF: ModelOrigin {
        let url = "made://hub"
        let bytes = 600 << 20
        let front: [UInt8] = {
            func number<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
                withUnsafeBytes(of: value.littleEndian, Array.init)
            }
            let name = "blk.0.w"
            var front = Array("GGUF".utf8) + number(UInt32(3)) + number(UInt64(1)) + number(UInt64(0))
            front += number(UInt64(name.utf8.count)) + Array(name.utf8) + number(UInt32(1)) + number(UInt64(8))
            front += number(UInt32(0)) + number(UInt64(0))
            return front
        }()

        func listing(of model: String, at revision: String, _ work: Work) throws -> RemoteRevision {
            let commit = String(repeating: "c", count: 40)
            return RemoteRevision(
                model: model, commit: commit,
                files: [
                    RemoteFile(
                        model: model, commit: commit, path: "m.gguf", bytes: bytes,
                        digest: ContentDigest(hex: String(repeating: "d", count: 64)), gitObject: nil)
                ])
        }

        func read(_ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work) throws {
            buffer.initializeMemory(as: UInt8.self, repeating: 0)
            if offset < front.count { buffer.copyBytes(from: front[offset...].prefix(buffer.count)) }
        }

        func fetch(_ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void) throws {
        }
    }
}
