import Files
import Foundation
import Glibc
import GRDB
import TestSupport
import Testing
@testable import WeightStore

/// What the store keeps of what happened: events, counts per minute and in total, statistics of living processes.
@Suite(.blocking) struct ActivityTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try TestModel(layers: 2).write(to: directory("model"))
        var request = ImportRequest(source: directory("model"), name: "org/model")
        request.origins = ["file://\(directory("model"))"]
        try store.importModelBlocking(request)
    }

    private func events(_ kinds: EventKind...) throws -> [StoreEvent] { try store.events(kinds: Set(kinds)) }

    private func other() throws -> Store { try Store(at: directory("store")) }

    @Test("what another user puts beside the leases is neither waited for, followed nor believed")
    func hostileStatistics() throws {
        let leases = directory("store/leases")
        let lease = try #require(try FileManager.default.contentsOfDirectory(atPath: leases).first { $0.first != "." })
        let victim = try directory.write("kept", to: "victim")
        let statistics = ProcessStatistics(pid: 1, program: "p", version: "", user: "", startedAt: 1)
        #expect(symlink(victim, "\(leases)/.\(lease).json.new") == 0)
        try store.leases.write(statistics)
        #expect(String(decoding: try contents(victim), as: UTF8.self) == "kept")

        let json = String(decoding: try JSONEncoder().encode(statistics), as: UTF8.self)
        let other = "store/leases/.99999-1.json"
        let path = try directory.write(json, to: other)
        #expect(store.leases.statistics(of: "99999-1")?.program == "p")
        for (good, hostile) in [
            ("\"pid\":1", "\"pid\":-9223372036854775808"), ("\"pid\":1", "\"pid\":9223372036854775807"),
            ("\"program\":\"p\"", "\"program\":\"\\u001b[31m\""),
            ("\"holds\":[]", Self.hold("[[5,6],[1,2]]")), ("\"holds\":[]", Self.hold("[[1,2],[2,3]]")),
            ("\"holds\":[]", Self.hold("[[2,1]]")), ("\"holds\":[]", Self.hold("[[-1,1]]")),
            (
                "\"holds\":[]",
                Self.hold(
                    "[" + (0...ResidentLayers.mostRanges).map { "[\($0 * 2),\($0 * 2)]" }.joined(separator: ",") + "]")
            ),
        ] {
            try directory.write(json.replacing(good, with: hostile), to: other)
            #expect(store.leases.statistics(of: "99999-1") == nil, "\(hostile)")
        }
        for good in [Self.hold("[[1,2],[5,5]]"), Self.hold(nil)] {
            try directory.write(json.replacing("\"holds\":[]", with: good), to: other)
            let holds = try #require(store.leases.statistics(of: "99999-1")?.holds)
            #expect(holds.map { $0.layers?["ram"]?.contains(5) } == [good == Self.hold(nil) ? nil : true])
        }
        unlink(path)
        #expect(mkfifo(path, 0o644) == 0)
        #expect(mkfifo("\(leases)/99999-1", 0o644) == 0)
        #expect(store.leases.statistics(of: "99999-1") == nil)
        #expect(try store.liveProcesses().count == 1)
    }

    /// A hold with resident layers as JSON; nil: as an older program writes it, without them.
    private static func hold(_ ranges: String?) -> String {
        let digest = String(repeating: "0", count: 64)
        let layers = ranges.map { ranges in
            ",\"layers\":{\"ram\":{\"ranges\":\(ranges),\"outside\":false,\"isComplete\":true}}"
        }
        return
            "\"holds\":[{\"revision\":\"a/b@~1\",\"model\":\"a/b\",\"digest\":\"\(digest)\",\"leased\":{}\(layers ?? "")}]"
    }

    // MARK: Events

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

    // MARK: Counts

    @Test("counts of a process that has ended stay in the totals, which never decrease")
    func totals() throws {
        var before = 0.0
        for _ in 0..<2 {
            do {
                let store = try other()
                let revision = try store.revision("org/model")
                for _ in 0..<3 { _ = try revision.leaseBlocking(layer: 0, in: .ram) }
            }
            let totals = try store.activityTotals()
            let hits = totals.sum(.hits, in: "ram")
            #expect(hits > before)
            #expect(totals.sum(.misses, in: "ram") > 0 && totals.sum(.readBytes, in: "disk") > 0)
            #expect(totals.histogram(.loads, in: "ram").count > 0)
            before = hits
        }
        let minutes = try store.activity(since: StoreClock.now - 3600)
        #expect(minutes.flatMap(\.values).sum(.hits, in: "ram") == before)
    }

    @Test("fetches count bytes and times by source, and evictions by policy")
    func sources() throws {
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        _ = try store.revision("org/model").leaseBlocking(in: .ram)
        store.flush()
        let totals = try store.activityTotals()
        #expect(totals.sum(.evictedBytes, in: "disk") > 1_000_000)
        #expect(totals.contains { $0.key.metric == .evictions && $0.key.part == "lru" })
        #expect(totals.sum(.readBytes, in: "directory") > 1_000_000 && totals.sum(.reads, in: "directory") > 1)
        #expect(totals.sum(.misses, in: "disk") > 1)
        #expect(totals.histogram(.firstBytes, in: "directory").quantile(0.5) != nil)
        #expect(totals.sum(.writes) > 0)
    }

    @Test("minutes older than 25 hours are removed, and the totals keep their counts")
    func boundedMinutes() throws {
        let values = [ActivityValue(ActivityKey(.hits, "ram"), 5)]
        let now = StoreClock.now
        try store.catalog.write { db in
            try ActivityTable.add(values, at: now - 26 * 3600, db)
            try ActivityTable.add(values, at: now - 24 * 3600, db)
            try ActivityTable.add(values, at: now, db)
        }
        let counts = try store.activity().map { $0.values.sum(.hits, in: "ram") }.filter { $0 > 0 }
        #expect(counts == [5, 5])
        #expect(try store.activityTotals().sum(.hits, in: "ram") == 15)
    }

    @Test("a store opened for a benchmark counts neither uses nor activity")
    func uncounted() throws {
        store.flush()
        let (uses, totals) = (try store.models().map(\.accesses), try store.activityTotals().sum(.hits))
        do {
            let store = try Store(at: directory("store"), create: false, countsUses: false, trace: nil)
            let revision = try store.revision("org/model")
            for _ in 0..<10 { _ = try revision.leaseBlocking(layer: 0, in: .ram) }
        }
        #expect(try store.models().map(\.accesses) == uses)
        #expect(try store.activityTotals().sum(.hits) == totals)
    }

    @Test("an idle store adds nothing to the catalog")
    func idle() throws {
        store.flush()
        let before = try store.activityTotals()
        store.flush()
        #expect(try store.activityTotals() == before)
    }

    // MARK: Living processes

    @Test("statistics show the tiers of a living process, and what it holds; they go with its lease")
    func statistics() throws {
        // Without those of the suite's store, which may be old enough.
        func files() throws -> [String] {
            try FileSystem.entries(directory("store/leases")).filter {
                $0.hasSuffix(".json") && !$0.contains(store.leases.name)
            }
        }
        try {
            let user = try other()
            let lease = try user.revision("org/model").leaseBlocking(layer: 1, in: .ram)
            user.statistics.write()
            let process = try #require(try store.liveProcesses().first { !$0.tiers.isEmpty })
            let tier = try #require(process.tiers.first)
            #expect(process.pid == Int(getpid()) && process.updatedAt != nil)
            #expect(tier.name == "ram" && tier.leased == lease.bytes && tier.bytes == tier.leased + tier.evictable)
            #expect(process.holds.map(\.revision) == ["org/model@~1"])
            #expect(process.holds.first?.leased == ["ram": lease.bytes])
            #expect(try files() == [".\(user.leases.name).json"])
            withExtendedLifetime(lease) {}
        }()
        #expect(try store.liveProcesses().count == 1)
        #expect(try files().isEmpty)
    }

    @Test(
        "statistics have the layers that are resident with all of their tensors, leased or not, until they are evicted")
    func residentLayers() throws {
        let user = try other()
        let revision = try user.revision("org/model")
        func layers() throws -> [String: ResidentLayers]? {
            try user.liveProcesses().flatMap(\.holds).first?.layers
        }
        #expect(try layers() == [:])
        let tensor = try #require(try revision.tensorEntries(layer: 0).first?.name)
        let part = try revision.leaseBlocking(tensor: tensor, in: .ram)
        let lease = try revision.leaseBlocking(layer: 1, in: .ram)
        let shards = Set(try revision.tensorEntries(layer: 0).compactMap(\.shard))
        // A layer of one pack is whole with any of its tensors.
        let first = ResidentLayers(shards.count > 1 ? [1] : [0, 1], outside: false)
        #expect(try layers() == ["ram": first])
        try revision.leaseBlocking(in: .ram).release()
        #expect(try layers() == ["ram": ResidentLayers([0, 1], outside: true)])
        part.release()
        user.clear(.ram)
        #expect(try layers() == ["ram": ResidentLayers([1], outside: false)])
        lease.release()
        user.clear(.ram)
        #expect(try layers() == [:])
        let memory = try revision.leasePrivately()
        #expect(try layers()?["ram"]?.contains(0) == true)
        withExtendedLifetime(memory) {}
    }

    @Test("the statistics of a process have a limited number of ranges of layers, and say so")
    func limitedLayers() {
        var statistics = ProcessStatistics(pid: 1, program: "p", version: "", user: "", startedAt: 1)
        let layers = ResidentLayers(stride(from: 0, to: 6000, by: 2), outside: true)
        #expect(layers.ranges.count == 3000 && layers.contains(4) && !layers.contains(5) && layers.contains(nil))
        statistics.holds = ["a/a", "a/b", "a/c"].map { model in
            ProcessStatistics.Hold(
                revision: model, model: model, digest: [1].withUnsafeBytes { ContentDigest(of: $0) }, leased: [:],
                layers: ["ram": layers])
        }
        statistics.limitLayers()
        let found = statistics.holds.compactMap { $0.layers?["ram"] }
        #expect(found.map(\.ranges.count) == [3000, ResidentLayers.mostRanges - 3000, 0])
        #expect(found.map(\.isComplete) == [true, false, false] && found.allSatisfy(\.outside))
        #expect(ResidentLayers([0, 1, 2, 7], outside: false).ranges == [0...2, 7...7])
    }

    @Test("statistics of dead processes are removed, and unreadable ones do not hide a process")
    func strayStatistics() throws {
        let leases = directory("store/leases")
        try Data("{}".utf8).write(to: URL(fileURLWithPath: leases + "/.4711-1.json"))
        let user = try other()
        try Data("no JSON".utf8).write(to: URL(fileURLWithPath: "\(leases)/.\(user.leases.name).json"))
        let processes = try store.liveProcesses()
        #expect(processes.count == 2 && processes.allSatisfy { $0.pid == Int(getpid()) })
        #expect(!FileSystem.exists(leases + "/.4711-1.json"))
        user.statistics.write()
        #expect(try store.liveProcesses().allSatisfy { $0.updatedAt != nil })
    }

    @Test("a fetch in progress is listed with its bytes")
    func running() throws {
        let work = Work()
        work.expect(50)
        work.advance(20)
        try store.fetches.during("org/model", from: "https://user:word@hub.example", work) {
            work.expect(100)
            work.advance(10)
            let fetch = try #require(try store.liveProcesses().first?.fetches.first)
            #expect(fetch.model == "org/model" && !fetch.origin.contains("word"))
            #expect(fetch.bytes == 10 && fetch.total == 100)
        }
        #expect(try store.liveProcesses().first?.fetches.isEmpty == true)
    }

    // MARK: Values

    @Test("the names of buckets are their bounds, and a quantile is the bound of its bucket")
    func histogram() {
        #expect(TimeHistogram.buckets.dropLast().compactMap(Double.init) == TimeHistogram.bounds)
        var histogram = TimeHistogram()
        #expect(histogram.quantile(0.5) == nil)
        for _ in 0..<98 { histogram.add(0.004) }
        for _ in 0..<2 { histogram.add(100) }
        #expect(histogram.quantile(0.5) == 0.005 && histogram.quantile(0.99) == 60)
        let values = histogram.values(of: .loads, in: "ram")
        #expect(values.histogram(.loads, in: "ram") == histogram)
    }

    @Test(
        "the scheme of an origin gives the kind of the source",
        arguments: zip(
            ["https://h.example", "s3://bucket/a", "peer+https://node:1", "file:///srv"],
            [SourceKind.hub, .bucket, .peer, .directory]))
    func source(url: String, kind: SourceKind) { #expect(SourceKind(origin: url) == kind) }
}

/// Stores that were made before there were events.
@Suite(.blocking) struct OlderActivityTests {
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
