import Foundation
import Support
import Synchronization
import TestSupport
import Testing
import WeightStore

@Suite(.blocking) struct VerifyTests {
    let directory = try! TemporaryDirectory()
    let store: Store
    let model = TestModel(layers: 2)

    init() throws {
        try model.write(to: directory("base"))
        try model.tuned(seed: 3).write(to: directory("tuned"))
        store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("base")))
        try store.importModelBlocking(ImportRequest(source: directory("tuned")))
    }

    private func path(of tensor: String) throws -> (path: String, digest: ContentDigest) {
        let digest = try #require(try store.revision("base").tensorEntries(named: tensor).first?.shard)
        return (directory("store/blobs/\(digest.hex.prefix(2))/\(digest.hex)"), digest)
    }

    private func flip(_ path: String) throws {
        var bytes = try contents(path)
        bytes[bytes.count / 2] ^= 0x10
        try FileManager.default.removeItem(atPath: path)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    @Test("verify reports an intact store as intact")
    func whole() throws {
        let summary = try store.verifyBlocking()
        #expect(summary.damage.isEmpty && summary.known.isEmpty)
        #expect(summary.shards == (try store.stats().shards))
        #expect(summary.bytes == (try store.stats().stored))
    }

    @Test("a shard whose blob is a link to nothing is missing")
    func danglingLink() throws {
        let (path, digest) = try path(of: "model.embed_tokens.weight")
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "nowhere")
        #expect(try store.verifyBlocking().damage.map(\.digest) == [digest])
        #expect(try store.verifyBlocking().known.map(\.digest) == [digest])
    }

    @Test("one flipped bit is detected, its shard is set aside, its models are named, and the same import restores it")
    func heal() throws {
        let (path, digest) = try path(of: "model.embed_tokens.weight")
        try flip(path)
        let summary = try store.verifyBlocking()
        #expect(summary.damage.map(\.digest) == [digest])
        #expect(Set(summary.damage[0].revisions) == ["base@~1", "tuned@~1"])
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(throws: StorageError.missing(path: path, digest: digest)) {
            try store.revision("base").tensor("model.embed_tokens.weight")
        }
        #expect(try store.verifyBlocking().known.map(\.digest) == [digest])

        let healed = try store.importModelBlocking(ImportRequest(source: directory("base")))
        #expect(healed.revisions[0].wasKnown)
        #expect(healed.written > 0)
        let again = try store.verifyBlocking()
        #expect(again.damage.isEmpty && again.known.isEmpty)
        try store.revision("tuned").exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/model.safetensors")) == contents(directory("tuned/model.safetensors")))
        #expect(try store.collectGarbage().quarantined == 1)
    }

    @Test("a missing file is reported, and the same import restores it")
    func missing() throws {
        let (path, digest) = try path(of: "model.embed_tokens.weight")
        try FileManager.default.removeItem(atPath: path)
        let summary = try store.verifyBlocking()
        #expect(summary.damage.map(\.problem) == ["missing"])
        #expect(summary.damage.map(\.digest) == [digest])
        try store.importModelBlocking(ImportRequest(source: directory("base")))
        #expect(try store.verifyBlocking().known.isEmpty)
        #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test("verify can be limited to a revision, to a share, and to shards that are due")
    func rules() throws {
        var rule = VerifyRule()
        rule.revision = "base"
        let base = try store.verifyBlocking(rule)
        #expect(base.shards < (try store.stats().shards))
        rule = VerifyRule()
        rule.olderThanSeconds = 3600
        #expect(try store.verifyBlocking(rule).shards == 0)
        rule = VerifyRule()
        rule.sample = 0.3
        let sample = try store.verifyBlocking(rule)
        let stored = try store.stats().stored
        #expect(sample.bytes > 0 && sample.bytes < stored)
    }

    @Test("a rate limit is kept")
    func rate() throws {
        var rule = VerifyRule()
        let stored = try store.stats().stored
        rule.bytesPerSecond = stored * 2
        let start = ContinuousClock.now
        _ = try store.verifyBlocking(rule)
        // Independent of the machine's speed: at this rate it cannot be faster.
        #expect(ContinuousClock.now - start > .milliseconds(350))
    }

    @Test("a cancelled verify ends in the middle")
    func cancel() async throws {
        var rule = VerifyRule()
        // Slow enough to be cancelled in the middle.
        rule.bytesPerSecond = 200_000
        let work = Work()
        try startThread {
            while work.progress.done == 0 { usleep(1000) }
            work.cancel()
        }
        #expect(throws: CancellationError.self) { try store.verifyBlocking(rule, work: work) }
        #expect(work.progress.done < work.progress.total)
        // A task that is cancelled ends its call, too.
        let task = Task { [store, rule] in try await store.verify(rule) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
