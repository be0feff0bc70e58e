import Origins
import TestSupport
import Testing
import WeightStore

/// A pull that version 130ff32 began, in the store that it made.
@Suite(.blocking) struct StoreFixturePullTests {
    enum Trigger: CaseIterable {
        case pull, read
    }

    @Test(
        "a pull or a read completes it: the file equals the hub's byte for byte, and the revision keeps its KV blocks",
        arguments: Trigger.allCases)
    func completed(by trigger: Trigger) throws {
        let fixture = try StoreFixture()
        let pull = fixture.facts.partialPull
        let hub = try ServeProcess(fixture.hub, log: fixture.directory("hub.log"))
        try fixture.replaceOrigins(pull.hub, with: hub.url)
        let store = try Store(at: fixture.store)
        store.register(scheme: "http") { url in try HubOrigin(url, token: "") }

        let model = try #require(fixture.facts.models.first { $0.revisions.contains { $0.name == pull.revision } })
        #expect(try store.origins(of: model.name) == [hub.url])
        let expected = model.revisions[0]
        let before = try store.revision(pull.revision)
        #expect(before.digest.hex == expected.digest && expected.digest != pull.wholeDigest)
        #expect(try before.tensorEntries().contains { $0.shard == nil })
        switch trigger {
        case .pull:
            let summary = try store.pullBlocking(PullRequest(model.name))
            #expect(summary.complete && summary.version == expected.version && summary.commit == expected.commit)
            // Bytes that the store has already are not fetched again.
            #expect(summary.fetched > 0 && summary.fetched < expected.bytes)
        case .read:
            #expect(try before.bytes(of: pull.path).isEmpty == false)
        }

        let after = try store.revision(pull.revision)
        #expect(after.digest.hex == pull.wholeDigest)
        #expect(try after.tensorEntries().allSatisfy { $0.shard != nil })
        hub.end()
        for file in expected.files {
            let bytes = try after.bytes(of: file.path)
            let digest = bytes.withUnsafeBytes { ContentDigest(of: $0).hex }
            #expect(bytes.count == file.bytes && digest == file.sha256, "\(file.path)")
        }
        for sequence in fixture.facts.kv where sequence.revision == pull.revision {
            let kv = try store.kvBlocks(
                of: after, format: sequence.format, blockTokens: sequence.blockTokens, tenant: sequence.tenant)
            #expect(try kv.longestPrefix(of: sequence.tokens).blocks == sequence.blocks.count)
        }
        #expect(try store.verifyBlocking().damage.isEmpty)
    }
}
