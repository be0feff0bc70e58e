import Synchronization

/// The views of a revision, one for each tier: an append-only list that is read without a lock.
package final class RevisionViewCache: Sendable {
    private final class Node: Sendable {
        let tier: Tier
        let view: RevisionView
        let next = AtomicLazyReference<Node>()

        init(_ tier: Tier, _ view: RevisionView) {
            self.tier = tier
            self.view = view
        }
    }

    private let first = AtomicLazyReference<Node>()

    package init() {}

    /// The view in a tier, created by `make` at the first use, and at the first one after the tier was closed. If several
    /// threads create one, all get the same.
    package func view(in tier: Tier, make: () throws -> RevisionView) rethrows -> RevisionView {
        var made: Node?
        var node: Node
        if let known = first.load() {
            node = known
        } else {
            let new = Node(tier, try make())
            made = new
            node = first.storeIfNil(new)
        }
        while node.tier != tier || node.view.tier.isClosed {
            if let next = node.next.load() {
                node = next
            } else {
                // One that is in the list already is of a tier that was closed meanwhile.
                let unused = made.flatMap { $0.view.tier.isClosed ? nil : $0 }
                let new = try unused ?? Node(tier, make())
                made = new
                node = node.next.storeIfNil(new)
            }
        }
        return node.view
    }
}
