import Foundation
import TestSupport
import Testing
import WeightStore

/// A store that version 130ff32 wrote. Every later version finds all of its contents.
@Suite(.blocking) struct StoreFixtureTests {
    /// Before the fixture, so that it writes its access counts before the directory is removed.
    private let store: Store
    private let fixture: StoreFixture
    private var facts: StoreFixture.Facts { fixture.facts }

    init() throws {
        fixture = try StoreFixture()
        store = try Store(at: fixture.store)
        store.register(scheme: "http") { UnreachableHub(url: $0) }
    }

    /// The hub of the partial pull. These tests need none of its bytes.
    private struct UnreachableHub: ModelOrigin {
        let url: String

        struct Unreachable: Error {}

        func listing(of model: String, at revision: String, _ work: Work) throws -> RemoteRevision {
            throw Unreachable()
        }

        func read(
            _ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work
        ) throws {
            throw Unreachable()
        }

        func fetch(
            _ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
        ) throws {
            throw Unreachable()
        }
    }

    private func sha256(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { ContentDigest(of: $0).hex } }

    private func bytes(of path: String, in revision: Revision) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try revision.read(path) { bytes += $0 }
        return bytes
    }

    @Test("every model, version, ref, pin with its note, origin and access count is present")
    func models() throws {
        let models = try store.models()
        #expect(models.map(\.name) == facts.models.map(\.name))
        for (model, expected) in zip(models, facts.models) {
            #expect(model.accesses == expected.accesses, "\(model.name)")
            let origins = try store.origins(of: model.name)
            #expect(origins == expected.origins.map { fixture.unpacked($0) }, "\(model.name)")
            let revisions = try store.revisions(of: model.name)
            #expect(revisions.count == expected.revisions.count, "\(model.name)")
            for (revision, expected) in zip(revisions, expected.revisions) {
                #expect(revision.version == expected.version, "\(expected.name)")
                #expect(revision.digest.hex == expected.digest, "\(expected.name)")
                #expect(revision.commit == expected.commit, "\(expected.name)")
                #expect(revision.bytes == expected.bytes, "\(expected.name)")
                #expect(revision.files == expected.files.count, "\(expected.name)")
                #expect(revision.tensors == expected.tensors, "\(expected.name)")
                #expect(revision.layers == expected.layers, "\(expected.name)")
                #expect(revision.source == expected.source, "\(expected.name)")
                #expect(revision.refs == expected.refs, "\(expected.name)")
                #expect(revision.pin == expected.pin, "\(expected.name)")
                #expect(revision.accesses == expected.accesses, "\(expected.name)")
            }
        }
        // A revision is found by each of its refs, its version, its commit and its digest.
        for expected in facts.models.flatMap(\.revisions) {
            let model = expected.name.prefix { $0 != "@" }
            let versions = ["~\(expected.version)", "v\(expected.version)"]
            for name in expected.refs + versions + [expected.commit, expected.digest] {
                let revision = try store.revision("\(model)@\(name)")
                #expect(
                    revision.digest.hex == expected.digest && revision.version == expected.version, "\(model)@\(name)")
            }
        }
    }

    @Test("totals, the bytes of each model, and the quotas are unchanged")
    func totals() throws {
        let stats = try store.stats()
        #expect(stats.models == facts.stats.models)
        #expect(stats.revisions == facts.stats.revisions)
        #expect(stats.files == facts.stats.files)
        #expect(stats.tensors == facts.stats.tensors)
        #expect(stats.shards == facts.stats.shards)
        #expect(stats.stored == facts.stats.stored)
        #expect(stats.kvBlocks == facts.stats.kvBlocks)
        #expect(stats.kvStored == facts.stats.kvStored)
        #expect(stats.damaged == facts.stats.damaged)
        #expect(stats.pins == facts.stats.pins)
        #expect(stats.accesses == facts.stats.accesses)

        let usage = try store.usage()
        #expect(usage.logical == facts.usage.logical)
        #expect(usage.stored == facts.usage.stored)
        #expect(usage.orphaned == facts.usage.orphaned)
        #expect(usage.evicted == facts.usage.evicted)
        #expect(usage.kv == facts.usage.kv)
        #expect(usage.models.map(\.model) == facts.usage.models.map(\.model))
        for (model, expected) in zip(usage.models, facts.usage.models) {
            #expect(model.revisions == expected.revisions, "\(model.model)")
            #expect(model.logical == expected.logical, "\(model.model)")
            #expect(model.stored == expected.stored, "\(model.model)")
            #expect(model.shared == expected.shared, "\(model.model)")
            #expect(model.own == expected.own, "\(model.model)")
        }

        for (kind, expected) in [(QuotaKind.weights, facts.quotas.weights), (.kv, facts.quotas.kv)] {
            let quota = try store.quota(of: kind)
            #expect(quota.bytes == expected.bytes, "\(kind)")
            #expect(quota.high == expected.high && quota.low == expected.low, "\(kind)")
            #expect(quota.policy == expected.policy, "\(kind)")
        }
    }

    @Test("every complete file is the same byte for byte; evicted shards are fetched from the origin")
    func files() throws {
        #expect(try store.usage().evicted > 0)
        for expected in facts.models.flatMap(\.revisions) {
            let revision = try store.revision(expected.name)
            let files = try revision.files()
            #expect(files.map(\.path) == expected.files.map(\.path), "\(expected.name)")
            for (file, expected) in zip(files, expected.files) {
                let name = "\(revision.name) \(expected.path)"
                #expect(file.bytes == expected.bytes && file.digest.hex == expected.sha256, "\(name)")
                guard expected.isComplete else { continue }
                guard expected.isReadable else {
                    #expect(throws: (any Error).self, "\(name)") { try bytes(of: expected.path, in: revision) }
                    continue
                }
                let read = try bytes(of: expected.path, in: revision)
                #expect(read.count == expected.bytes && sha256(read) == expected.sha256, "\(name)")
            }
        }
        #expect(try store.usage().evicted == 0)
        #expect(try store.verifyBlocking().damage.isEmpty)
    }

    @Test("the fetched tensors of a partial pull are readable without the hub")
    func partialPull() throws {
        let pull = facts.partialPull
        let revision = try store.revision(pull.revision)
        let entries = try revision.tensorEntries()
        #expect(entries.map(\.name) == pull.tensors.map(\.name))
        for (entry, expected) in zip(entries, pull.tensors) {
            #expect((entry.shard != nil) == expected.isFetched && entry.layer == expected.layer, "\(entry.name)")
            if !expected.isFetched { continue }
            let tensor = try revision.tensor(entry.name)
            #expect(tensor.bytes.withUnsafeBytes { ContentDigest(of: $0).hex } == expected.sha256, "\(entry.name)")
        }
        let layer = try revision.layer(0)
        #expect(layer.tensors.map(\.entry.name) == pull.tensors.filter { $0.layer == 0 }.map(\.name))
    }

    @Test("prompts are present with their tokens and counts")
    func prompts() throws {
        let prompts = try store.prompts()
        #expect(prompts.count == facts.prompts.count)
        for expected in facts.prompts {
            let name = "\(expected.model) \(expected.name)"
            let prompt = try #require(
                prompts.first { $0.model == expected.model && $0.name == expected.name }, "\(name)")
            #expect(prompt.digest.hex == expected.digest, "\(name)")
            #expect(prompt.tokens == expected.tokens.count, "\(name)")
            #expect(prompt.accesses == expected.accesses, "\(name)")
            let tokens = try store.tokens(ofPrompt: expected.name, of: expected.model)
            #expect(tokens == expected.tokens, "\(name)")
        }
    }

    @Test("KV blocks are found by their tokens, by their own tenant alone, byte for byte")
    func kv() async throws {
        let spaces = try store.kvSpaces()
        #expect(spaces.count == facts.kvSpaces.count)
        for expected in facts.kvSpaces {
            let revision = fixture.shown(expected.revision)
            let name = "\(revision) \(expected.format) \(expected.tenant)"
            let space = try #require(
                spaces.first {
                    $0.revision == revision && $0.format == expected.format && $0.tenant.hex == expected.tenant
                }, "\(name)")
            #expect(space.blockTokens == expected.blockTokens, "\(name)")
            #expect(space.blocks == expected.blocks && space.bytes == expected.bytes, "\(name)")
            #expect(space.longest == expected.longest, "\(name)")
            #expect(space.accesses == expected.accesses, "\(name)")
        }
        for sequence in facts.kv {
            let revision = try store.revision(sequence.revision)
            let kv = try store.kvBlocks(
                of: revision, format: sequence.format, blockTokens: sequence.blockTokens, tenant: sequence.tenant)
            let prefix = try kv.longestPrefix(of: sequence.tokens)
            #expect(prefix.blocks == sequence.blocks.count, "\(sequence.revision) \(sequence.tenant)")
            let lease = try await kv.lease(prefix, in: .ram)
            try #require(lease.blocks == sequence.blocks.count, "\(sequence.revision) \(sequence.tenant)")
            for (block, expected) in sequence.blocks.enumerated() {
                let bytes = try lease.withUnsafeBytes(ofBlock: block) { Array($0) }
                #expect(hex(bytes) == expected, "\(sequence.revision) \(sequence.tenant), block \(block)")
            }
            let other = try store.kvBlocks(
                of: revision, format: sequence.format, blockTokens: sequence.blockTokens, tenant: "another")
            #expect(try other.longestPrefix(of: sequence.tokens).isEmpty)
        }
    }

    private func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }

    @Test("verify reports the damaged and the missing shard, and finds all others whole")
    func damage() throws {
        let summary = try store.verifyBlocking()
        #expect(summary.damage.isEmpty && summary.kvDropped == 0)
        // No origin of the fixture is checked yet, so none of its evicted shards counts as lost.
        #expect(summary.absent.lostShards == 0)
        #expect(summary.absent.uncheckedBytes == facts.usage.evicted)
        #expect(summary.known.count == facts.damage.count)
        for expected in facts.damage {
            let found = try #require(summary.known.first { $0.digest.hex == expected.digest }, "\(expected.digest)")
            let revisions = expected.revisions.map { fixture.shown($0) }
            #expect(found.problem == expected.problem && found.revisions == revisions, "\(expected.digest)")
        }
        #expect(Set(summary.known.map(\.problem)) == ["damaged", "missing"])
        let collected = try store.collectGarbage()
        #expect(
            collected.missing == 0 && collected.orphans == 0 && collected.unreferencedBlobs == 0
                && collected.kvBlocks == 0)
    }
}
