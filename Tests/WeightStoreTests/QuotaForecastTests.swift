import Support
import TestSupport
import Testing
@testable import Policies
@testable import WeightStore

/// The forecast of the miss ratio at other quotas.
@Suite(.blocking) struct QuotaForecastTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        for seed in 1...4 {
            try TestModel(layers: 2, seed: UInt64(seed)).write(to: directory("model-\(seed)"))
            try store.importModelBlocking(ImportRequest(source: directory("model-\(seed)")))
        }
    }

    /// Reads layers of the models: model 1 in every second read.
    private func read() throws {
        try store.setRecordsAccesses(true)
        for round in 0..<12 {
            _ = try store.revision("model-1").layer(0)
            _ = try store.revision("model-\(2 + round % 3)").layer(round % 2)
        }
        store.flush()
    }

    @Test("a forecast has the ratios at the quota, above it and below it, as the simulator gives them")
    func points() throws {
        #expect(throws: StorageError.self) { try store.quotaForecastBlocking() }
        try read()
        let footprint = try store.recordedAccesses().footprint
        var quota = Quota(bytes: footprint / 2)
        quota.policy = "gdsf"
        try store.setQuota(quota)
        var request = QuotaForecastRequest()
        request.policies = [.lru, try store.policy("gdsf")]
        request.points = 3
        let forecast = try store.quotaForecastBlocking(request)
        #expect(forecast.policy == "gdsf" && forecast.quota == footprint / 2)
        // The store's policy is the first, and stands there once.
        #expect(forecast.curve.lines.map(\.name) == ["gdsf", "lru", "bound"])
        let sizes = forecast.curve.lines[0].points.map(\.quota)
        #expect(sizes == sizes.sorted() && Set(sizes).count == sizes.count)
        let present = try #require(forecast.present)
        let larger = try #require(forecast.larger)
        let smaller = try #require(forecast.smaller)
        #expect(smaller.quota < present.quota && present.quota == footprint / 2 && present.quota < larger.quota)
        #expect(larger.missRatio <= smaller.missRatio)
        let curve = try MissRatioCurve.simulateBlocking(
            store.recordedAccesses(), policies: [store.policy("gdsf")], quotas: [footprint / 2], high: quota.high,
            low: quota.low)
        let alone = try #require(curve.lines.first?.points.first)
        #expect(alone.missRatio == present.missRatio && alone.byteMissRatio == present.byteMissRatio)
        #expect(forecast.sentence.contains(" of uses are recorded; a day or more gives a reliable answer. At "))
        // Of 24 reads, 7 are the first to a shard: layer 0 of four models, and layer 1 of the three others.
        #expect(forecast.sentence.contains("of reads miss, \(Quantity.percent(forecast.firstUseRatio)) as first uses"))
        #expect(abs(forecast.firstUseRatio - 7.0 / 24) < 0.001)
    }

    @Test("without a quota the forecast says which size is enough")
    func unlimited() throws {
        try read()
        let forecast = try store.quotaForecastBlocking()
        #expect(forecast.present == nil && forecast.quota == nil)
        #expect(forecast.sufficient.quota <= forecast.curve.footprint)
        #expect(forecast.sentence.contains("No quota is set."))
    }

    @Test("a forecast of the last accesses has only their objects")
    func lastAccesses() throws {
        try read()
        let all = try store.recordedAccesses()
        let last = try store.recordedAccesses(last: 4)
        #expect(last.accesses.count == 4 && last.objects.count <= 4 && last.footprint < all.footprint)
        #expect(last.times == Array(all.times.suffix(4)))
        #expect(try store.recordedAccesses(last: 1 << 30).accesses == all.accesses)
    }

    @Test("the step of a quota is about half of it, a round number, and less than the quota")
    func step() {
        #expect(QuotaForecast.step(200_000_000_000) == 100_000_000_000)
        #expect(QuotaForecast.step(96_000_000_000) == 50_000_000_000)
        #expect(QuotaForecast.step(1) == nil)
        for quota in [2, 3, 7, 999, 1_000_001, Int.max] {
            #expect(QuotaForecast.step(quota).map { $0 > 0 && $0 < quota } == true, "\(quota)")
        }
    }
}
