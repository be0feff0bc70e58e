import Synchronization

/// Finds copies of shards that are nearer than the models' own origins, such as peers on the same network.
public protocol NearerOrigins: Sendable {
    /// The origins to try for a shard before the model's own, the nearest first.
    func origins(for request: ShardRequest) -> [any Origin]

    /// Records the result of a fetch from any origin.
    ///
    /// - Parameters:
    ///   - request: the shard.
    ///   - url: the origin.
    ///   - error: nil if the origin returned the shard.
    func recordResult(from url: String, _ request: ShardRequest, _ error: (any Error)?)
}

/// The nearer origins that a store uses, if any.
final class NearerOriginsSlot: Sendable {
    private let slot = Mutex<(any NearerOrigins)?>(nil)

    var value: (any NearerOrigins)? {
        get { slot.withLock { $0 } }
        set { slot.withLock { $0 = newValue } }
    }
}
