import Support

/// Durations, counted in fixed buckets.
public struct TimeHistogram: Sendable, Equatable {
    /// The upper bounds of the buckets, in seconds. A last bucket has no bound.
    public static let bounds = [
        0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]
    /// The names of the buckets: their bounds, and `+Inf` for the last, as Prometheus writes them.
    public static let buckets = [
        "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10",
        "30",
        "60", "+Inf",
    ]

    /// The durations in each bucket, without those in the buckets below.
    public private(set) var counts = [Int](repeating: 0, count: bounds.count + 1)
    /// The sum of all durations.
    public internal(set) var seconds = 0.0

    /// Without durations.
    public init() {}

    /// The number of durations.
    public var count: Int { counts.saturatingSum(\.self) }

    /// Adds a duration in seconds.
    public mutating func add(_ seconds: Double) {
        let bucket = Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count
        counts[bucket].add(saturating: 1)
        self.seconds += seconds
    }

    /// Adds durations of which only the bucket is known. An unknown bucket is ignored.
    mutating func add(_ count: Int, toBucket name: String) {
        if let bucket = Self.buckets.firstIndex(of: name) { counts[bucket].add(saturating: max(count, 0)) }
    }

    /// The duration, in seconds, that a share of the durations does not exceed: the upper bound of its bucket, and 60 in the
    /// bucket without one. nil without durations.
    ///
    /// - Parameter share: 0.5 for the median, 0.99 for the 99th percentile.
    public func quantile(_ share: Double) -> Double? {
        let rank = max(share, 0) * Double(count)
        var below = 0.0
        for (bucket, count) in counts.enumerated() where count > 0 {
            below += Double(count)
            if below >= rank { return Self.bounds[min(bucket, Self.bounds.count - 1)] }
        }
        return nil
    }

    /// The values of a metric that is a histogram, without those that are 0.
    package func values(of metric: ActivityMetric, in place: String) -> [ActivityValue] {
        var values = zip(Self.buckets, counts).filter { $0.1 > 0 }.map { bucket, count in
            ActivityValue(ActivityKey(metric, place, part: bucket), Double(count))
        }
        if let sum = metric.sum, seconds > 0 { values.append(ActivityValue(ActivityKey(sum, place), seconds)) }
        return values
    }
}
