import Support

/// The layers of a revision, handed out in order while the next ones are on their way.
///
///     for try await layer in try revision.stream(to: .gpu) { engine.run(layer) }
///
/// At most `ahead` layers are under way or wait to be taken, so a consumer that is slow slows the reader. A layer that
/// does not fit beside what the consumer holds waits until some of it is given back, so let go of layers: a tier that
/// stays full for a minute ends the stream with ``TierError/full(tier:requested:budget:inUse:)``. Ending the loop, or
/// cancelling its task, stops what is under way and gives everything back.
public struct LayerStream: AsyncSequence, Sendable {
    public typealias Element = Lease

    /// A layer's shards; or, if some were never fetched, how to fetch them.
    package enum Layer: Sendable {
        case here(ShardGroup)
        case toFetch(@Sendable (Work) throws -> ShardGroup)
    }

    package let layers: [Layer]
    package let ahead: Int

    package init(layers: [Layer], ahead: Int) {
        self.layers = layers
        self.ahead = ahead
    }

    package init(groups: [ShardGroup], ahead: Int) { self.init(layers: groups.map(Layer.here), ahead: ahead) }

    public func makeAsyncIterator() -> Iterator { Iterator(layers: layers[...], ahead: ahead) }

    public struct Iterator: AsyncIteratorProtocol {
        private var layers: ArraySlice<Layer>
        private let ahead: Int
        /// In order; dropped, they give back what they hold.
        private var pending: [PendingLease] = []

        init(layers: ArraySlice<Layer>, ahead: Int) {
            self.layers = layers
            self.ahead = Swift.max(ahead, 1)
        }

        public mutating func next() async throws -> Lease? {
            try await next(isolation: #isolation)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(any Error) -> Lease? {
            do {
                try Task.checkCancellation()
                fill()
                guard !pending.isEmpty else { return nil }
                let lease = try await pending.removeFirst().value()
                // The next ones go on while the consumer works with this one.
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
                case .here(let group): pending.append(PendingLease(group, waitsForRoom: true))
                case .toFetch(let fetch): pending.append(PendingLease(waitsForRoom: true, fetching: fetch))
                }
            }
        }
    }
}
