/// What fetching a shard is taken to cost before it was fetched for the first time: one Gbit/s, and a round trip.
package enum FetchCost {
    /// Seconds.
    package static let latency = 0.05
    package static let bytesPerSecond = 125e6
}
