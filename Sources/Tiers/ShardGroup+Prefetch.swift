import Foundation

extension ShardGroup {
    /// Begins to bring the shards in, and holds none of them when they are there.
    package func prefetch() {
        guard shards.contains(where: { $0.phase != .ready }) else { return }
        let request = LeaseRequest(shards, waitsForRoom: false, release: { [tier] in tier.release($0) }) { [self] result in
            // With the lease's end its shards may go again. A failure is the later lease's to tell.
            guard case .success = result else { return }
            tier.record(shards)
            release()
        }
        tier.start(request)
    }
}
