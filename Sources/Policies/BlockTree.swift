import Storage

/// The prefix tree of the KV blocks among the shards that may be evicted from a memory tier. A block's parent is the
/// block before it.
///
/// A block is unusable without its parent. So leaves are evicted first under every policy, as on disk (`KVCandidates`):
/// the next victim is always the leaf that the policy ranks first.
package struct BlockTree {
    private var parents: [ContentDigest: ContentDigest] = [:]
    private var children: [ContentDigest: Int] = [:]

    /// - Parameter shards: the shards, and the parents of KV blocks.
    package init(_ shards: some Sequence<(digest: ContentDigest, parent: ContentDigest?)>) {
        for shard in shards {
            guard let parent = shard.parent else { continue }
            parents[shard.digest] = parent
            children[parent, default: 0] += 1
        }
    }

    /// Whether no block has a parent; then every order is valid.
    package var isEmpty: Bool { parents.isEmpty }

    /// The number of children of a block.
    package func children(of digest: ContentDigest) -> Int { children[digest] ?? 0 }

    /// Reorders victims so that children precede their parents. Omits a block if one of its children is not a victim.
    package func leavesFirst<Victim>(_ victims: [Victim], _ digest: (Victim) -> ContentDigest) -> [Victim] {
        if isEmpty { return victims }
        var children = children
        var waiting: [ContentDigest: Victim] = [:]
        var going: [Victim] = []
        for victim in victims {
            if children[digest(victim), default: 0] > 0 {
                waiting[digest(victim)] = victim
                continue
            }
            var leaf = Optional(victim)
            while let block = leaf {
                going.append(block)
                leaf = nil
                guard let parent = parents[digest(block)] else { break }
                children[parent, default: 0] -= 1
                if children[parent] == 0 { leaf = waiting.removeValue(forKey: parent) }
            }
        }
        return going
    }
}
