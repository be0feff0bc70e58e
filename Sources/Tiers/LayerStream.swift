import Support

/// The layers of a revision, leased in order while the next ones are being loaded.
///
///     for try await layer in try revision.stream(to: .gpu) { engine.run(layer) }
///
/// At most `ahead` layers are loading or ready, so a slow consumer slows the reader. A layer that does not fit into the
/// tier waits until the consumer releases leases, so release each layer after use: if the tier stays full for a minute,
/// the stream ends with ``TierError/full(tier:requested:budget:inUse:)``. Leaving the loop or cancelling its task stops
/// the loads and releases their leases.
public struct LayerStream: AsyncSequence, Sendable {
    /// The lease of one layer.
    public typealias Element = Lease

    /// A layer's shards, or a function that fetches them if some were never fetched.
    package enum Layer: Sendable {
        case group(ShardGroup)
        case toFetch(@Sendable (Work) throws -> ShardGroup)
    }

    /// The layers, in order.
    package let layers: [Layer]
    /// The most layers that are loading or ready.
    package let ahead: Int

    package init(layers: [Layer], ahead: Int) {
        self.layers = layers
        self.ahead = ahead
    }

    package init(groups: [ShardGroup], ahead: Int) { self.init(layers: groups.map(Layer.group), ahead: ahead) }

    /// Creates an iterator; nothing is loaded before its first `next`.
    public func makeAsyncIterator() -> Iterator { Iterator(layers: layers[...], ahead: ahead) }

    /// The iterator of a ``LayerStream``.
    public struct Iterator: AsyncIteratorProtocol {
        private var layers: ArraySlice<Layer>
        private let ahead: Int
        /// In order. Removing one releases its leases.
        private var pending: [PendingLease] = []

        init(layers: ArraySlice<Layer>, ahead: Int) {
            self.layers = layers
            self.ahead = Swift.max(ahead, 1)
        }

        /// The lease of the next layer, or nil at the end.
        ///
        /// - Throws: ``TierError``, ``StorageError``, `CancellationError`, or the error of the fetch; then the stream
        ///   ends.
        public mutating func next() async throws -> Lease? {
            try await next(isolation: #isolation)
        }

        /// As `next()`, on the given actor.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(any Error) -> Lease? {
            do {
                try Task.checkCancellation()
                fill()
                guard !pending.isEmpty else { return nil }
                let lease = try await pending.removeFirst().value()
                // The next layers load while the consumer uses this one.
                fill()
                return lease
            } catch {
                pending = []
                layers = []
                throw error
            }
        }

        private mutating func fill() {
            while pending.count < ahead, let layer = layers.popFirst() {
                switch layer {
                case .group(let group): pending.append(PendingLease(group, waitsForSpace: true))
                case .toFetch(let fetch): pending.append(PendingLease(waitsForSpace: true, fetching: fetch))
                }
            }
        }
    }
}
