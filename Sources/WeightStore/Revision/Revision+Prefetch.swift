import Storage
import Support
import Tiers

extension Revision {
    /// Begins to load layers into a tier, and returns immediately. The layers stay until the tier's policy evicts them.
    /// A lease that is requested during the load waits for the same load. Errors of the load are reported by that
    /// lease.
    ///
    /// - Parameters:
    ///   - layers: the numbers of the layers.
    ///   - experts: of the experts of each layer, only those with these numbers; nil means all.
    ///   - tier: where the bytes are loaded.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` if the revision has none of these layers, or
    ///   none of these experts.
    public func prefetch(layers: ClosedRange<Int>, experts: ClosedRange<Int>? = nil, in tier: Tier) throws {
        let view = try view(in: tier)
        try view.check(layers: layers, experts: experts)
        let parts = view.layerNumbers.filter(layers.contains).map { RevisionView.Part(layer: $0, experts: experts) }
        let toFetch = parts.filter(view.isPending)
        for part in parts where !toFetch.contains(part) { try view.part(part, store.missWork).prefetch() }
        guard !toFetch.isEmpty else { return }
        // Layers that were never fetched are fetched on one thread, in order.
        try startThread { [work = store.missWork] in
            for part in toFetch {
                // The next lease tries again, and reports the error.
                guard let group = try? view.part(part, work) else { return }
                group.prefetch()
            }
        }
    }
}
