import Foundation

extension Revision {
    /// Begins to bring layers into a tier, and returns at once. They stay there as long as the tier's policy likes; a
    /// lease that comes before they are there waits for the same load. What can't be brought in is told by the lease.
    ///
    /// - Throws: ``StoreError/notFound(kind:name:hint:)`` if there is none of these layers.
    public func prefetch(layers: ClosedRange<Int>, in tier: Tier) throws {
        let view = try view(in: tier)
        let numbers = view.layerNumbers.filter(layers.contains)
        guard !numbers.isEmpty else {
            throw StoreError.notFound(
                kind: "layer", name: "\(name) layers \(layers)", hint: "\"weightstore show \(name)\" lists them.")
        }
        let toFetch = numbers.filter { view.isPending(.layers($0...$0)) }
        for number in numbers where !toFetch.contains(number) { try view.layer(number).prefetch() }
        guard !toFetch.isEmpty else { return }
        // What has never come is fetched on a thread of its own, in order.
        Thread.detachNewThread {
            for number in toFetch {
                // The lease tells what went wrong, when it tries again.
                guard let group = try? view.layer(number) else { return }
                group.prefetch()
            }
        }
    }
}

extension ShardGroup {
    /// Begins to bring the shards in, and holds none of them when they are there.
    func prefetch() {
        guard shards.contains(where: { $0.phase != .ready }) else { return }
        let request = LeaseRequest(shards, waitsForRoom: false, release: { [tier] in tier.release($0) }) { result in
            // With the lease's end its shards may go again. A failure is the later lease's to tell.
            if case .success = result { Lease(self).release() }
        }
        tier.start(request)
    }
}
