import WeightStore

/// The shards and manifests that are being fetched into the store. A ``HubServer`` consults it before it responds to a
/// peer that a shard does not exist.
public protocol InFlightFetches: Sendable {
    /// Waits until a missing shard or manifest has arrived.
    ///
    /// - Returns: true if it has arrived; false if it is still being fetched; nil if it is not being fetched.
    func arrival(of digest: ContentDigest, within seconds: Double) async throws -> Bool?
}
