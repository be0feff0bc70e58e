import Support

/// A metric of one place and part.
public struct ActivityKey: Sendable, Hashable, Codable {
    /// What is counted.
    public let metric: ActivityMetric
    /// The tier, or the kind of the source; empty if there is none.
    public let place: String
    /// The bucket of a histogram, the policy of an eviction, the reason of a failure; empty if there is none.
    public let part: String

    /// A key.
    public init(_ metric: ActivityMetric, _ place: String = "", part: String = "") {
        self.metric = metric
        self.place = place
        self.part = part
    }
}

/// The value of a metric: since the catalog was made, in one minute, or since a process began.
public struct ActivityValue: Sendable, Equatable, Codable {
    /// What is counted, and where.
    public let key: ActivityKey
    /// The count, bytes or seconds.
    public let value: Double

    /// A value.
    public init(_ key: ActivityKey, _ value: Double) {
        self.key = key
        self.value = value
    }
}

/// What all processes counted in one minute.
public struct ActivityMinute: Sendable, Equatable, Codable {
    /// The start of the minute, in seconds since 1970. Processes add their counts once a minute, so a count may be in the
    /// minute after the one in which it happened.
    public let start: Int
    /// The values that are not 0.
    public let values: [ActivityValue]

    /// A minute.
    public init(start: Int, values: [ActivityValue]) {
        self.start = start
        self.values = values
    }
}

extension Sequence<ActivityValue> {
    /// The sum of a metric over all parts.
    ///
    /// - Parameter place: the tier or the source; nil means all.
    public func sum(_ metric: ActivityMetric, in place: String? = nil) -> Double {
        reduce(0) { $1.key.metric == metric && place ?? $1.key.place == $1.key.place ? $0 + $1.value : $0 }
    }

    /// The places of a metric that have a value, sorted.
    public func places(of metric: ActivityMetric) -> [String] {
        Set(filter { $0.key.metric == metric }.map(\.key.place)).sorted()
    }

    /// The times of a metric that is a histogram.
    ///
    /// - Parameter place: the tier or the source; nil means all.
    public func histogram(_ metric: ActivityMetric, in place: String? = nil) -> TimeHistogram {
        var histogram = TimeHistogram()
        for value in self where place ?? value.key.place == value.key.place {
            if value.key.metric == metric {
                histogram.add(Int(saturating: value.value), toBucket: value.key.part)
            } else if value.key.metric == metric.sum {
                histogram.seconds += value.value
            }
        }
        return histogram
    }
}
