/// What happened in the last day: the curves of the dashboard. Every series has one value for each interval.
struct Activity: Sendable, Encodable {
    /// A curve.
    struct Series: Sendable, Encodable {
        /// `disk`, `p50`.
        let name: String
        /// nil where nothing was measured.
        let values: [Double?]
    }

    /// The end of the last interval, in seconds since 1970.
    let end: Int
    /// The seconds of an interval.
    let interval: Int
    /// The fraction of hits, by tier.
    let hitRatio: [Series]
    /// Bytes per interval, by source.
    let bytes: [Series]
    /// Evicted shards per interval, by tier.
    let evictions: [Series]
    /// Seconds to the first byte: p50 and p99.
    let firstByte: [Series]
}
