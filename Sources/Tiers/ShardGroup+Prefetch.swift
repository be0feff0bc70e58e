import Foundation

extension ShardGroup {
    /// Starts to load the shards, and releases them once they are loaded. Returns at once.
    package func prefetch() {
        guard shards.contains(where: { $0.phase != .ready }) else { return }
        let request = LeaseRequest(
            shards, waitsForSpace: false, release: { [tier] in tier.release($0) },
            completion: { [self] result in
                // A failure is not reported here: the later lease reports it.
                guard case .success = result else { return }
                tier.record(shards)
                release()
            })
        tier.start(request)
    }
}
