/// The assumed cost of fetching a shard that has never been fetched: 1 Gbit/s and one round trip.
package enum FetchCost {
    /// In seconds.
    package static let latency = 0.05
    package static let bytesPerSecond = 125e6
}
