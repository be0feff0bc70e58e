import Foundation
import Policies
import Storage
import Support

/// The replays that a forecast consists of.
public struct QuotaForecastRequest: Sendable {
    /// Policies to compare with the store's own policy, which is always the first.
    public var policies: [Policy] = []
    /// Cache sizes in bytes, each at least 1. Empty: `points` sizes from 1 % to 100 % of the recorded shards' bytes.
    public var quotas: [Int] = []
    /// The number of sizes if `quotas` is empty.
    public var points = 10
    /// The fraction of the quota at which an eviction stops. nil: the store's watermarks, of which the upper one also
    /// is the fraction above which an eviction starts.
    public var low: Double?
    /// The most accesses to replay, the last ones recorded; nil replays all. The duration is proportional to it.
    public var mostAccesses: Int?

    /// Creates a request for the store's own policy at ten sizes.
    public init() {}
}

/// The miss ratios of a store's recorded accesses at its quota, and at other sizes of its disk tier.
///
/// A shard's first recorded access counts as a miss at every size, so a short record gives ratios that are too high.
public struct QuotaForecast: Sendable, Codable {
    /// The curves: of the store's policy, of the other policies, and the lower bound of any policy.
    public let curve: MissRatioCurve
    /// The store's quota in bytes; nil if it has none, so that nothing is evicted.
    public let quota: Int?
    /// The name of the store's policy. The points below are its.
    public let policy: String
    /// The time from the first to the last replayed access, in seconds.
    public let recordedSeconds: Double
    /// The miss ratios at the store's quota; nil without a quota.
    public let present: MissRatioCurve.Point?
    /// The miss ratios at about one and a half times the quota; nil without a quota.
    public let larger: MissRatioCurve.Point?
    /// The miss ratios at about half the quota; nil without a quota.
    public let smaller: MissRatioCurve.Point?
    /// The smallest simulated size at which at most one access in a hundred misses that the largest size avoids.
    public let sufficient: MissRatioCurve.Point

    init(_ curve: MissRatioCurve, _ quota: Quota, step: Int?, recordedSeconds: Double) {
        self.curve = curve
        self.quota = quota.bytes
        policy = quota.policy
        self.recordedSeconds = recordedSeconds
        let points = curve.lines.first?.points ?? []
        func point(_ bytes: Int) -> MissRatioCurve.Point? { points.first { $0.quota == bytes } }
        present = quota.bytes.flatMap(point)
        larger = quota.bytes.flatMap { bytes in step.flatMap { point(bytes.adding(saturating: $0)) } }
        smaller = quota.bytes.flatMap { bytes in step.flatMap { point(bytes - $0) } }
        let least = points.map(\.missRatio).min() ?? 0
        sufficient =
            points.first { $0.missRatio <= least + 0.01 }
            ?? MissRatioCurve.Point(quota: curve.footprint, missRatio: least, byteMissRatio: least)
    }

    /// The record in seconds below which ``sentence`` says that it is too short for an answer.
    private static let leastSeconds = 3_600.0

    /// The share of the accesses that are the first to their shard, and miss at every size.
    public var firstUseRatio: Double { curve.lines.last?.points.map(\.missRatio).min() ?? 0 }

    /// The answer to "how much disk?": `At 200 GB, 8% of reads miss, 2% as first uses, which no size avoids; 100 GB more would make
    /// it 5%.` After a short record it begins with the time that was recorded.
    public var sentence: String {
        recordedSeconds < Self.leastSeconds
            ? "Only \(Quantity.seconds(recordedSeconds)) of uses are recorded; a day or more gives a reliable answer. \(answer)"
            : answer
    }

    private var answer: String {
        let share = Quantity.percent(firstUseRatio)
        let first = firstUseRatio >= 0.01 ? ", \(share) as first uses, which no size avoids" : ""
        guard let quota, let present, let larger, let smaller else {
            return "No quota is set. With \(Quantity.bytes(sufficient.quota)), "
                + "\(Quantity.percent(sufficient.missRatio)) of reads would miss\(first); more disk would hardly change that."
        }
        let start = "At \(Quantity.bytes(quota)), \(Quantity.percent(present.missRatio)) of reads miss\(first); "
        if present.missRatio - larger.missRatio >= 0.001 {
            return start + "\(Quantity.bytes(larger.quota - quota)) more would make it "
                + "\(Quantity.percent(larger.missRatio))."
        }
        return start + "more disk would hardly change that, and \(Quantity.bytes(quota - smaller.quota)) less would "
            + (smaller.missRatio - present.missRatio >= 0.001
                ? "make it \(Quantity.percent(smaller.missRatio))." : "hardly, either.")
    }

    /// About half the quota: 1, 2 or 5 times a power of ten, and always less than the quota.
    static func step(_ quota: Int) -> Int? {
        guard quota > 1 else { return nil }
        let half = Double(quota) / 2
        let power = pow(10, log10(half).rounded(.down))
        let nearest = [1, 2, 5, 10].map { $0 * power }.min { abs(log($0 / half)) < abs(log($1 / half)) } ?? half
        return min(max(Int(saturating: nearest), 1), quota - 1)
    }

    /// The sizes to simulate.
    static func sizes(_ request: QuotaForecastRequest, quota: Int?, step: Int?, footprint: Int) -> [Int] {
        var sizes = Set(request.quotas.filter { $0 > 0 })
        if sizes.isEmpty {
            let count = min(max(request.points, 2), 10_000)
            // Each size is larger than the one before by the same factor.
            sizes = Set(
                (0..<count).map { place in
                    max(Int(saturating: Double(footprint) * pow(100, Double(place) / Double(count - 1) - 1)), 1)
                })
        }
        if let quota, quota > 0 {
            sizes.insert(quota)
            if let step { sizes.formUnion([quota - step, quota.adding(saturating: step)]) }
        }
        return sizes.sorted()
    }
}
