import Support
import Synchronization

/// The views of a revision, one for each tier: an append-only list that is read without a lock.
package final class RevisionViewCache: Sendable {
    private final class Node: Sendable {
        let tier: Tier
        let view = AtomicLazyReference<RevisionView>()
        let creation = OnDemand<RevisionView>()
        let next = AtomicLazyReference<Node>()

        init(_ tier: Tier) { self.tier = tier }

        /// Whether the view is of a tier that was closed.
        var isClosed: Bool { view.load()?.tier.isClosed ?? false }
    }

    private let first = AtomicLazyReference<Node>()

    package init() {}

    /// Whether the view in a tier exists.
    package func contains(_ tier: Tier) -> Bool {
        var node = first.load()
        while let known = node, known.tier != tier || known.isClosed { node = known.next.load() }
        return node?.view.load() != nil
    }

    /// The view in a tier, created by `make` at the first use, and at the first one after the tier was closed. If several
    /// threads need it, one creates it, and the others wait: to read all tensors twice at the same time would delay both.
    package func view(in tier: Tier, make: () throws -> RevisionView) rethrows -> RevisionView {
        var node = first.load() ?? first.storeIfNil(Node(tier))
        while node.tier != tier || node.isClosed { node = node.next.load() ?? node.next.storeIfNil(Node(tier)) }
        if let known = node.view.load() { return known }
        return node.view.storeIfNil(try node.creation.get(make))
    }
}
