import Foundation
import Storage
import Tiers

extension Revision {
    /// Begins to bring layers into a tier, and returns at once. They stay there as long as the tier's policy likes; a
    /// lease that comes before they are there waits for the same load. What can't be brought in is told by the lease.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` if there is none of these layers.
    public func prefetch(layers: ClosedRange<Int>, in tier: Tier) throws {
        let view = try view(in: tier)
        let numbers = view.layerNumbers.filter(layers.contains)
        guard !numbers.isEmpty else {
            throw StorageError.notFound(
                kind: "layer", name: "\(name) layers \(layers)")
        }
        let toFetch = numbers.filter { view.isPending(.layers($0...$0)) }
        for number in numbers where !toFetch.contains(number) { try view.layer(number, store.misses).prefetch() }
        guard !toFetch.isEmpty else { return }
        // What has never come is fetched on a thread of its own, in order.
        Thread.detachNewThread { [work = store.misses] in
            for number in toFetch {
                // The lease tells what went wrong, when it tries again.
                guard let group = try? view.layer(number, work) else { return }
                group.prefetch()
            }
        }
    }
}
