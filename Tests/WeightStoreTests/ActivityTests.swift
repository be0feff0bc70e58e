import TestSupport
import Testing
@testable import WeightStore

/// The counts of what happened, per minute and in total.
@Suite(.blocking) struct ActivityTests {
    let fixture = try! ActivityFixture()
    private var store: Store { fixture.store }
    private var directory: TemporaryDirectory { fixture.directory }

    @Test("counts of a process that has ended stay in the totals, which never decrease")
    func totals() throws {
        var before = 0.0
        for _ in 0..<2 {
            do {
                let store = try fixture.other()
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
