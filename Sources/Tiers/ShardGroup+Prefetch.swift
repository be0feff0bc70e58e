import Foundation

extension ShardGroup {
    /// Begins to bring the shards in, and holds none of them when they are there.
    package func prefetch() {
        guard shards.contains(where: { $0.phase != .ready }) else { return }
        let request = LeaseRequest(
            shards, waitsForRoom: false, release: { [tier] in tier.release($0) },
            completion: { [self] result in
                // When the lease ends its shards may be evicted again. The later lease reports a failure.
                guard case .success = result else { return }
                tier.record(shards)
                release()
            })
        tier.start(request)
    }
}
