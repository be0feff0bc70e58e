import Foundation
import Synchronization
import TestSupport
import Testing
import WeightStore

@Suite struct VerifyTests {
    let directory = try! TemporaryDirectory()
    let store: Store
    let model = TestModel(layers: 2)

    init() throws {
        try model.write(to: directory("base"))
        try model.tuned(seed: 3).write(to: directory("tuned"))
        store = try Store(at: directory("store"), create: true)
        try store.importModel(ImportRequest(source: directory("base")))
        try store.importModel(ImportRequest(source: directory("tuned")))
    }

    private func path(of tensor: String) throws -> (path: String, digest: Digest) {
        let digest = try #require(try store.revision("base").tensorEntries(named: tensor).first?.shard)
        return (directory("store/blobs/\(digest.hex.prefix(2))/\(digest.hex)"), digest)
    }

    private func flip(_ path: String) throws {
        var bytes = try contents(path)
        bytes[bytes.count / 2] ^= 0x10
        try FileManager.default.removeItem(atPath: path)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    @Test("a whole store is found whole")
    func whole() throws {
        let summary = try store.verify()
        #expect(summary.damage.isEmpty && summary.known.isEmpty)
        #expect(summary.shards == (try store.stats().shards))
        #expect(summary.bytes == (try store.stats().stored))
    }

    @Test("one flipped bit is found, set aside, its models named, and healed by the same import")
    func heal() throws {
        let (path, digest) = try path(of: "model.embed_tokens.weight")
        try flip(path)
        let summary = try store.verify()
        #expect(summary.damage.map(\.digest) == [digest])
        #expect(Set(summary.damage[0].revisions) == ["base@v1", "tuned@v1"])
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(throws: StoreError.missing(path: path, digest: digest)) {
            try store.revision("base").tensor("model.embed_tokens.weight")
        }
        #expect(try store.verify().known.map(\.digest) == [digest])

        let healed = try store.importModel(ImportRequest(source: directory("base")))
        #expect(healed.revisions[0].wasKnown)
        #expect(healed.written > 0)
        let again = try store.verify()
        #expect(again.damage.isEmpty && again.known.isEmpty)
        try store.revision("tuned").export(to: directory("out"))
        #expect(try contents(directory("out/model.safetensors")) == contents(directory("tuned/model.safetensors")))
        #expect(try store.collectGarbage().quarantined == 1)
    }

    @Test("a file that is gone is found, and healed by the same import")
    func missing() throws {
        let (path, digest) = try path(of: "model.embed_tokens.weight")
        try FileManager.default.removeItem(atPath: path)
        let summary = try store.verify()
        #expect(summary.damage.map(\.problem) == ["missing"])
        #expect(summary.damage.map(\.digest) == [digest])
        try store.importModel(ImportRequest(source: directory("base")))
        #expect(try store.verify().known.isEmpty)
        #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test("only what a revision holds, only a share, only what is due")
    func rules() throws {
        var rule = VerifyRule()
        rule.revision = "base"
        let base = try store.verify(rule)
        #expect(base.shards < (try store.stats().shards))
        rule = VerifyRule()
        rule.olderThanSeconds = 3600
        #expect(try store.verify(rule).shards == 0)
        rule = VerifyRule()
        rule.sample = 0.3
        let sample = try store.verify(rule)
        let stored = try store.stats().stored
        #expect(sample.bytes > 0 && sample.bytes < stored)
    }

    @Test("a rate limit is kept")
    func rate() throws {
        var rule = VerifyRule()
        let stored = try store.stats().stored
        rule.bytesPerSecond = stored * 2
        let start = ContinuousClock.now
        _ = try store.verify(rule)
        // Not a matter of speed: at this rate it can't be faster.
        #expect(ContinuousClock.now - start > .milliseconds(350))
    }

    @Test("it stops when told to")
    func cancel() throws {
        let calls = Mutex(0)
        #expect(throws: StoreError.cancelled) {
            try store.verify { _, _ in
                calls.withLock {
                    $0 += 1
                    return $0 < 3
                }
            }
        }
    }
}
