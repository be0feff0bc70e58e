import Foundation
import GRDB
import TestSupport
import Testing
@testable import Tiers
@testable import WeightStore

/// A store above its quota, under each policy, with pins, leases and a second process: the right shards are evicted,
/// the others are readable byte for byte, and evicted shards are fetched on their next use.
@Suite(.blockingInTurn, .serialized) struct EvictionTests {
    let directory = try! TemporaryDirectory()
    var path: String { directory("store") }

    /// Created once: the models in a store, each with an origin but for one.
    private static let template: TemporaryDirectory = {
        let directory = try! TemporaryDirectory()
        let store = try! Store(at: directory("store"), create: true)
        for (index, name) in models.enumerated() {
            try! TestModel(layers: 1, seed: UInt64(index + 1)).write(to: directory(name))
            var request = ImportRequest(source: directory(name))
            if name != "local" { request.origins = ["file://\(directory(name))"] }
            try! store.importModelBlocking(request)
        }
        try! store.pin("pinned", note: "serving")
        return directory
    }()

    private static let models = ["pinned", "held", "local", "one", "two", "three"]
    private static let free: Set<String> = ["one", "two", "three"]

    init() throws {
        try FileManager.default.copyItem(atPath: Self.template("store"), toPath: directory("store"))
        try shuffleNumbers()
    }

    private struct Numbers {
        let digest: ContentDigest
        let bytes: Int
        let last: Double
        let uses: Int
        let heat: Double
        let inserted: Double
        let fetch: Double
        let clock: Double
        let models: Set<String>
    }

    /// Gives each shard its own counts, as long use would.
    private func shuffleNumbers() throws {
        var random = Random(seed: 5)
        let queue = try DatabaseQueue(path: path + "/store.db")
        try queue.write { db in
            let now = StoreClock.now
            for id in try Int64.fetchAll(db, sql: "SELECT id FROM shard ORDER BY id") {
                try db.execute(
                    sql: """
                        UPDATE shard SET last_access = ?, access_count = ?, heat = ?, inserted_at = ?, fetch_seconds = ?,
                                         clock = ?
                        WHERE id = ?
                        """,
                    arguments: [
                        now - Int.random(in: 1_000...900_000, using: &random), Int.random(in: 1...50, using: &random),
                        Double.random(in: 0...20, using: &random),
                        now - Int.random(in: 1_000_000...2_000_000, using: &random),
                        Double.random(in: 0.01...2, using: &random), Double.random(in: 0...1e-6, using: &random), id,
                    ])
            }
        }
    }

    private func numbers(_ store: Store) throws -> [Numbers] {
        try store.catalog.read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT shard.digest, shard.bytes, last_access, access_count, heat, inserted_at, fetch_seconds, clock,
                           (SELECT group_concat(DISTINCT model.name)
                            FROM extent
                            JOIN revision_file ON revision_file.file_id = extent.file_id
                            JOIN revision ON revision.id = revision_file.revision_id
                            JOIN model ON model.id = revision.model_id
                            WHERE extent.shard_id = shard.id)
                    FROM shard WHERE state = 'present'
                    """)
        }.map { row in
            Numbers(
                digest: row[0], bytes: row[1], last: row[2], uses: row[3], heat: row[4], inserted: row[5],
                fetch: row[6],
                clock: row[7], models: Set((row[8] as String).split(separator: ",").map(String.init)))
        }
    }

    /// The policies once more, in Swift: the smallest value is evicted first.
    private static let orders: [String: @Sendable (Numbers, Double) -> [Double]] = [
        "lru": { shard, _ in [shard.last] },
        "lfu": { shard, _ in [Double(shard.uses), shard.last] },
        "size": { shard, _ in [-Double(shard.bytes), shard.last] },
        "lfuda": { shard, _ in [shard.clock + Double(shard.uses), shard.last] },
        "gdsf": { shard, _ in [shard.clock + Double(shard.uses) * shard.fetch / Double(shard.bytes), shard.last] },
        "ttl": { shard, now in shard.inserted < now - 604_800 ? [shard.inserted] : [1e12, shard.last] },
        "hyperbolic": { shard, now in
            [Double(shard.uses) * shard.fetch / (Double(shard.bytes) * (now - shard.inserted + 1)), shard.last]
        },
        "heat": { shard, now in
            [shard.heat * pow(0.5, (now - shard.last) / 86_400) * shard.fetch / Double(shard.bytes), shard.last]
        },
        // No shard of weights has blocks before it.
        "tail": { shard, _ in [shard.last] },
        // The segments are counted in `ranked`.
        "slru": { shard, _ in [shard.last] },
    ]

    private static func isPresent(_ store: Store, _ shard: Numbers) -> Bool {
        FileManager.default.fileExists(atPath: store.blobs.path(shard.digest))
    }

    /// Runs the tool with a lease on `held` until the test is over.
    private func holder() throws -> Tool.Running {
        let process = try Tool(store: path).start(["load", "held", "--hold"])
        let leases = path + "/leases"
        for _ in 0..<1000 {
            let names = try FileManager.default.contentsOfDirectory(atPath: leases).filter {
                $0.hasPrefix("\(process.identifier)-")
            }
            if let name = names.first,
                String(decoding: try contents("\(leases)/\(name)"), as: UTF8.self).contains(" held")
            {
                return process
            }
            usleep(10_000)
        }
        Issue.record("the second process acquired no lease")
        return process
    }

    @Test(
        "above the quota, the right shards are evicted, and fetched on their next use",
        arguments: Policy.builtIn.map(\.name))
    func pastQuota(name: String) async throws {
        let process = try holder()
        defer {
            process.signal(SIGTERM)
            _ = process.result()
        }
        let store = try Store(at: path)
        // The loading of `held` by the other process is counted when it ends; nothing else moves from here on.
        let before = try numbers(store)
        let stored = before.reduce(0) { $0 + $1.bytes }
        #expect(try store.diskGauge().bytes == stored)

        var quota = Quota(bytes: stored * 9 / 10)
        quota.high = 0.9
        quota.low = 0.7
        quota.policy = name
        // The clock starts again with another policy, and so do its readings.
        try store.setQuota(quota)
        try store.catalog.write { db in try EvictionClock(.weights).start(name, db) }
        let summary = try store.evictBlocking(EvictionRequest(.quota))
        #expect(summary.policy == name && summary.rejection == nil)
        #expect(summary.stored <= Int(Double(quota.bytes!) * quota.low))

        let now = Double(StoreClock.now)
        let order = try #require(Self.orders[name])
        let free = before.filter { $0.models.isSubset(of: Self.free) }
        var expected: Set<ContentDigest> = []
        var freed = 0
        let goal = stored - Int(Double(quota.bytes!) * quota.low)
        for shard in try ranked(free, name, now: now, order) where freed < goal {
            expected.insert(shard.digest)
            freed += shard.bytes
        }
        let gone = Set(before.filter { !Self.isPresent(store, $0) }.map(\.digest))
        #expect(gone == expected)
        #expect(summary.bytes == freed && summary.shards == gone.count)
        // The others are readable byte for byte, and a second run has nothing to evict.
        let verified = try store.verifyBlocking()
        #expect(verified.damage.isEmpty && verified.shards == before.count - gone.count)
        #expect(try store.evictBlocking(EvictionRequest(.quota)).requested == 0)

        // The next use of the evicted shards, in three ways.
        let digests = before.filter { gone.contains($0.digest) }
        for (model, way) in zip(["one", "two", "three"], ["file", "ram", "host"]) {
            if way == "file" {
                try store.revision(model).exportBlocking(to: directory("out"))
                #expect(
                    try contents(directory("out/model.safetensors"))
                        == contents(Self.template("\(model)/model.safetensors")))
            } else {
                let lease = try await store.revision(model).lease(in: Tier(way))
                let source = Data(try contents(Self.template("\(model)/model.safetensors")))
                for tensor in lease.tensors {
                    let bytes = try lease.withUnsafeBytes(of: tensor) { Data($0) }
                    #expect(source.range(of: bytes) != nil, "\(tensor.entry.name)")
                }
                lease.release()
            }
        }
        #expect(!digests.isEmpty)
        // All models are complete.
        for model in Self.models {
            try store.revision(model).exportBlocking(to: directory("all/\(model)"))
            #expect(
                try contents(directory("all/\(model)/model.safetensors"))
                    == contents(Self.template("\(model)/model.safetensors")), "\(model)")
        }
    }

    private func ranked(
        _ shards: [Numbers], _ name: String, now: Double, _ order: (Numbers, Double) -> [Double]
    ) throws -> [Numbers] {
        let sorted = shards.sorted { order($0, now).lexicographicallyPrecedes(order($1, now)) }
        guard name == "slru" else { return sorted }
        let total = shards.reduce(0) { $0 + $1.bytes }
        var running = 0
        let protected = Set(
            shards.sorted { ($0.uses > 1 ? 0 : 1, -$0.last) < ($1.uses > 1 ? 0 : 1, -$1.last) }.filter { shard in
                running += shard.bytes
                return shard.uses > 1 && Double(running) <= 0.8 * Double(total)
            }.map(\.digest))
        return sorted.filter { !protected.contains($0.digest) } + sorted.filter { protected.contains($0.digest) }
    }

    @Test("two concurrent evictions never evict the same shard, nor more in total than was requested")
    func two() throws {
        let store = try Store(at: path)
        let stored = try store.diskGauge().bytes
        let target = stored * 6 / 10
        let tool = Tool(store: path)
        let processes = try (0..<3).map { _ in try tool.start(["evict", "--down-to", "\(target)", "--json"]) }
        let mine = try store.evictBlocking(EvictionRequest(.downTo(target)))
        let answers = try processes.map { try $0.result().object() }
        let freed = answers.reduce(mine.bytes) { $0 + ($1["bytes"] as? Int ?? 0) }
        #expect(freed == stored - (try store.diskGauge().bytes))
        let largest = try numbers(store).map(\.bytes).max()!
        #expect(try store.diskGauge().bytes > target - 2 * largest && store.diskGauge().bytes <= target)
    }

    @Test("an import that would not fit the quota evicts first, and is refused if nothing is evictable")
    func importing() throws {
        let store = try Store(at: path)
        let stored = try store.diskGauge().bytes
        try store.setQuota(Quota(bytes: stored + 1000))
        try TestModel(layers: 1, seed: 77).write(to: directory("new"))
        try store.importModelBlocking(ImportRequest(source: directory("new")))
        #expect(try store.diskGauge().bytes <= stored + 1000)
        #expect(try store.diskGauge().evicted > 0)
        try store.revision("new").exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/model.safetensors")) == contents(directory("new/model.safetensors")))

        try store.setQuota(Quota(bytes: 1 << 20))
        try TestModel(layers: 1, seed: 78).write(to: directory("newer"))
        let error = #expect(throws: StoreError.self) {
            try store.importModelBlocking(ImportRequest(source: directory("newer")))
        }
        guard case .quotaFull(quota: 1 << 20, _, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(try store.models().allSatisfy { $0.name != "newer" })
    }

    @Test("shards that a fine-tune shares with its base are not evicted to make room for the fine-tune")
    func sharing() throws {
        let store = try Store(at: path)
        let stored = try store.diskGauge().bytes
        try store.setQuota(Quota(bytes: stored + (1 << 20)))
        // The same base once more, known by its file, and a large new one beside it.
        try FileManager.default.copyItem(atPath: Self.template("one"), toPath: directory("both"))
        try directory.write([UInt8](repeating: 3, count: 4 << 20), to: "both/extra.bin")
        try store.importModelBlocking(ImportRequest(source: directory("both")))
        try store.revision("both").exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/model.safetensors")) == contents(Self.template("one/model.safetensors")))
    }

    @Test("a fetch that does not fit the quota is stored nevertheless, and other evictable shards are evicted")
    func fetching() throws {
        let store = try Store(at: path)
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        try store.setQuota(Quota(bytes: 1 << 20))
        try store.revision("three").exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/model.safetensors")) == contents(Self.template("three/model.safetensors")))
    }

    @Test("--dry-run names the same bytes as the eviction, and evicts nothing")
    func dryRun() throws {
        let store = try Store(at: path)
        let stored = try store.diskGauge().bytes
        var request = EvictionRequest(.free(3 << 20))
        request.dryRun = true
        let planned = try store.evictBlocking(request)
        #expect(try store.diskGauge().bytes == stored)
        request.dryRun = false
        let done = try store.evictBlocking(request)
        #expect(planned.bytes == done.bytes && planned.shards == done.shards)
        #expect(try store.diskGauge().bytes == stored - done.bytes)
    }

    @Test(
        "above the high watermark a memory tier evicts in the background, by its policy, down to the low one",
        arguments: [Tier.ram, .host])
    func trim(tier: Tier) async throws {
        let store = try Store(at: path)
        let bytes = try await store.revision("one").lease(in: tier).bytes
        store.tiers.close(tier)
        let size = try #require(Policy.builtIn.first { $0.name == "size" })
        try store.open(tier, TierOptions(budget: 4 * bytes, policy: size, watermarks: (high: 0.4, low: 0.3)))
        for model in ["one", "two"] { try await store.revision(model).lease(in: tier).release() }
        try await eventually { store.gauges[0].evictions > 0 }
        let gauge = try #require(store.gauges.first { $0.tier == tier })
        #expect(gauge.policy == "size")
        #expect(gauge.evictions > 0)
        // The largest shards were evicted: the small ones of both models are stored.
        let small = try store.revision("one").tensorEntries(named: "model.norm.weight")
        #expect(try store.tiers.open(tier).residentShard(#require(small[0].shard), bytes: 0).phase == .ready)
    }

    @Test("a tier whose policy fails falls back to lru, and its gauge says so", arguments: [Tier.ram, .host])
    func tierFallback(tier: Tier) async throws {
        let store = try Store(at: path)
        let bytes = try await store.revision("one").lease(in: tier).bytes
        store.tiers.close(tier)
        let slow = Policy(
            name: "slow",
            sql: """
                WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                SELECT shard_id FROM candidate WHERE (SELECT max(i) FROM n) > 0
                """)
        #expect(throws: PolicyError.self) {
            try store.open(tier, TierOptions(policy: Policy(name: "bad", sql: "DROP TABLE x")))
        }
        try store.open(tier, TierOptions(budget: bytes + bytes / 2, policy: slow))
        for model in ["one", "two", "three"] {
            let lease = try await store.revision(model).lease(in: tier)
            lease.release()
        }
        #expect(store.gauges[0].policy == "lru")
        #expect(store.gauges[0].bytes <= store.gauges[0].budget)
    }
}
