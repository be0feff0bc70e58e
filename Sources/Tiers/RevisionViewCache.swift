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

    /// The view in a tier, created by `make` at the first use. If several threads create one, all get the same.
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
        while node.tier != tier {
            if let next = node.next.load() {
                node = next
            } else {
                let new = try made ?? Node(tier, make())
                made = new
                node = node.next.storeIfNil(new)
            }
        }
        return node.view
    }
}
