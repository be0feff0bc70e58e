import Files
import Glibc
import TestSupport
import Testing
@testable import WeightStore

/// The events that the store keeps.
@Suite(.blocking) struct EventTests {
    let fixture = try! ActivityFixture()
    private var store: Store { fixture.store }
    private var directory: TemporaryDirectory { fixture.directory }

    private func events(_ kinds: EventKind...) throws -> [StoreEvent] { try store.events(kinds: Set(kinds)) }

    @Test("imports, moved refs, quotas and removals are events, with who, when and how much")
    func events() throws {
        let imported = try #require(try events(.imported).first)
        #expect(imported.subject == "org/model@~1" && imported.bytes ?? 0 > 1_000_000)
        #expect(imported.pid == Int(getpid()) && !imported.program.isEmpty && !imported.user.isEmpty)
        #expect(abs(imported.at - StoreClock.now) < 600)
        #expect(try events(.refMoved).map(\.subject) == ["org/model@main"])
        try store.setRef("prod", to: "org/model@~1")
        try store.setRef("prod", to: "org/model@~1")
        try store.removeRef("prod", of: "org/model")
        #expect(try events(.refMoved).map(\.detail) == ["org/model@~1", "org/model@~1", "removed"])
        try store.setQuota(Quota(bytes: 1 << 40))
        #expect(try events(.quotaChanged).map(\.bytes) == [1 << 40])
        var quota = Quota(bytes: 1 << 40)
        (quota.high, quota.low) = (0.29, 0.07)
        try store.setQuota(quota)
        #expect(try events(.quotaChanged).last?.detail == "evicts above 29% down to 7%, by lru")
        try store.remove(["org/model"])
        let removed = try #require(try events(.removed).last)
        #expect(removed.count == 1 && removed.countText == "1 revision" && removed.bytes ?? 0 > 1_000_000)
        let ids = try store.events().map(\.id)
        #expect(ids == ids.sorted() && Set(ids).count == ids.count)
    }

    @Test("an event whose change is rolled back is not kept")
    func rolledBack() throws {
        let before = try store.events().count
        try store.remove(["org/model"], dryRun: true)
        #expect(throws: StorageError.self) { try store.setRef("prod", to: "org/model@~7") }
        #expect(try store.events().count == before)
    }

    @Test("an eviction is one event, and the fetches on use that follow are one event per model and origin")
    func evictedAndFetched() throws {
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        let evicted = try #require(try events(.evicted).first)
        #expect(try events(.evicted).count == 1)
        #expect(evicted.subject == "disk" && evicted.detail == "by lru" && evicted.count ?? 0 > 1)
        #expect(evicted.countText == evicted.count.map { "\($0) shards" })
        _ = try store.revision("org/model").leaseBlocking(in: .ram)
        store.flush()
        let fetched = try events(.fetched)
        #expect(fetched.count == 1)
        #expect(fetched.first?.subject == "org/model" && fetched.first?.count ?? 0 > 1)
        #expect(fetched.first?.bytes ?? 0 > 1_000_000)
    }

    @Test("damage and its repair are events of the revision that needs the shard")
    func damaged() throws {
        let digest = try #require(try store.revision("org/model").tensorEntries().compactMap(\.shard).first)
        try FileSystem.remove(store.blobs.path(digest))
        try store.verifyBlocking()
        #expect(try events(.damaged).map(\.subject) == ["org/model@~1"])
        try store.refetch(digest)
        let repaired = try #require(try events(.repaired).first)
        #expect(repaired.subject == "org/model@~1" && repaired.detail.contains(digest.short))
    }

    @Test("an origin that fails is an event once a minute, without the secrets of its URL")
    func failedOrigin() throws {
        let url = "file://user:word@" + directory("nowhere")
        for _ in 0..<3 { store.recordFailure(FetchError.disconnected(url: url, reason: "reset", attempts: 1), of: url) }
        let failed = try events(.originFailed)
        #expect(failed.count == 1)
        store.recordFailure(FetchError.notFound(what: "shard", url: "https://b.example"), of: "https://b.example")
        #expect(try events(.originFailed).count == 1)
        let secret = "https://user:word@c.example/"
        store.recordFailure(FetchError.disconnected(url: secret, reason: "reset", attempts: 1), of: secret)
        let texts = try events(.originFailed).map { $0.subject + $0.detail }
        #expect(texts.count == 2 && !texts[1].contains("word"))
    }

    @Test("the newest 10,000 events are kept, and their numbers ascend")
    func boundedEvents() throws {
        try store.catalog.write { db in
            for number in 0..<EventTable.most + 50 {
                try EventTable.append(StoreEvent(.collected, "", count: number), db)
            }
        }
        let events = try store.events(limit: .max)
        #expect(events.count == EventTable.most)
        #expect(events.last?.count == EventTable.most + 49)
        let last = try #require(events.last?.id)
        #expect(try store.events(after: last).isEmpty)
        try store.setQuota(Quota())
        #expect(try store.events(after: last).map(\.kind) == [.quotaChanged])
    }

    @Test("events are chosen by time, kind, model and number")
    func chosen() throws {
        #expect(try store.events(since: StoreClock.now + 60).isEmpty)
        #expect(try store.events(subject: "org/*").count == 2)
        #expect(try store.events(subject: "org/model").count == 2)
        #expect(try store.events(subject: "org/other*").isEmpty)
        #expect(try store.events(kinds: [.refMoved], limit: 1).count == 1)
    }
}

/// Stores that were made before there were events.
@Suite(.blocking) struct OlderEventTests {
    @Test("an older store is migrated, has no events, and keeps those that follow; a rebuild begins new ones")
    func migrated() throws {
        let fixture = try StoreFixture()
        do {
            let store = try Store(at: fixture.store)
            #expect(try store.events().isEmpty && store.activity().isEmpty)
            try store.setQuota(Quota(bytes: 1 << 40))
            #expect(try store.events().map(\.kind) == [.quotaChanged])
        }
        try Store.rebuildBlocking(at: fixture.store)
        let store = try Store(at: fixture.store)
        #expect(try store.events().isEmpty)
    }
}
