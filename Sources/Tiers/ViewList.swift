import Synchronization

/// A revision's views, one for each tier: a list that only grows, made at the first use and read without a lock.
package final class ViewList: Sendable {
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

    /// The view in a tier. Of several that are made at the same time, one is kept.
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
