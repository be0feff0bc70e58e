import Storage
import Support
import Tiers

extension Revision {
    /// Begins to load layers into a tier, and returns immediately. The layers stay until the tier's policy evicts them.
    /// A lease that is requested during the load waits for the same load. Errors of the load are reported by that
    /// lease.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` if the revision has none of these layers.
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
        // Layers that were never fetched are fetched on one thread, in order.
        try startThread { [work = store.misses] in
            for number in toFetch {
                // The next lease tries again, and reports the error.
                guard let group = try? view.layer(number, work) else { return }
                group.prefetch()
            }
        }
    }
}
