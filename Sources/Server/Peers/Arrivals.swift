import WeightStore

/// Knows what is on its way into the store. Given to a ``HubServer``, which asks it before it tells a peer that something
/// is not there.
public protocol Arrivals: Sendable {
    /// Waits until a shard or a manifest that is not here has come.
    ///
    /// - Returns: true if it has; false if it is still on its way; nil if it is not on its way.
    func arrival(of digest: ContentDigest, within seconds: Double) async throws -> Bool?
}
