import Synchronization

/// Knows of copies of shards that are nearer than the models' own origins: peers on the same network.
public protocol NearerOrigins: Sendable {
    /// Whom to ask for a shard before the model's origins, the nearest first.
    func origins(for request: ShardRequest) -> [any Origin]

    /// An origin, nearer or not, has given a shard, or failed to.
    ///
    /// - Parameter error: nil if the shard came and was the right one.
    func heard(from url: String, _ request: ShardRequest, _ error: (any Error)?)
}

/// The one that a store asks.
final class NearerOriginsSlot: Sendable {
    private let slot = Mutex<(any NearerOrigins)?>(nil)

    var value: (any NearerOrigins)? {
        get { slot.withLock { $0 } }
        set { slot.withLock { $0 = newValue } }
    }
}
