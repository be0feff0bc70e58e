import Storage

/// Which KV blocks build on which, among the shards that may go from a memory tier.
///
/// A block without the one before it is found by nobody. So whatever a policy says, leaves go first, as on disk
/// (`KVCandidates`): of the blocks that nothing builds on, always the one that the policy names first.
package struct BlockTree {
    private var parents: [ContentDigest: ContentDigest] = [:]
    private var children: [ContentDigest: Int] = [:]

    /// - Parameter shards: their digests, and of KV blocks those of the blocks before them.
    package init(_ shards: some Sequence<(digest: ContentDigest, parent: ContentDigest?)>) {
        for shard in shards {
            guard let parent = shard.parent else { continue }
            parents[shard.digest] = parent
            children[parent, default: 0] += 1
        }
    }

    /// Whether nothing builds on anything: then every order is right.
    package var isEmpty: Bool { parents.isEmpty }

    /// How many of the shards build on this one.
    package func children(of digest: ContentDigest) -> Int { children[digest] ?? 0 }

    /// Victims in an order in which they can go. A block on which something builds that is no victim stays.
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
