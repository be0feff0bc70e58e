import Glibc
import Storage
import Synchronization

/// The KV blocks of one revision, one layout and one tenant: keys and values that an engine computed for the tokens of
/// a prefix, so that a later request with the same prefix does not compute them again.
///
///     let kv = try store.kvBlocks(of: revision, format: "bf16 [32,2,8,256,128]", blockTokens: 256, tenant: "acme")
///     let chain = kv.chain(prompt)
///     let lease = try await kv.lease(chain.prefix(), in: .ram)           // the longest stored prefix
///     for block in 0..<lease.blocks { try lease.withUnsafeBytes(ofBlock: block) { … } }
///     // The engine computes the other blocks, and stores them for later requests.
///     try kv.put(chain, from: lease.blocks, computed)
///
/// The engine defines the bytes of a block. `format` is any text that describes their layout. Blocks of another format,
/// another revision (such as the next version of the model) or another tenant are never found.
///
/// Any KV block may be lost at any time, because an engine can compute it again: by eviction, with its revision, in a
/// power failure, by a rebuild of the catalog. A stored block is whole, and so are all blocks before it. Leased blocks
/// stay readable, even if they are dropped from the disk meanwhile.
///
/// Calls that are not `async` block on I/O. The revision cannot be removed as long as the value lives.
public final class KVBlocks: Sendable {
    /// The revision that the blocks belong to.
    public let revision: Revision
    /// The layout of a block's bytes.
    public let format: String
    /// Tokens per block.
    public let blockTokens: Int
    let space: KVSpace
    private let prompts: PromptUses
    var store: Store { revision.store }
    /// The shards of blocks that were leased before, by key, so that a hit does not read the catalog.
    private let seen = Mutex<[ContentDigest: KVShard]>([:])
    /// The maximal number of entries in `seen`.
    private static let mostSeen = 1 << 16
    /// Numbers staged files.
    private static let numbers = Atomic<Int>(0)

    init(_ revision: Revision, _ space: KVSpace) {
        self.revision = revision
        self.space = space
        prompts = PromptUses(of: revision, KVChain(space))
        format = space.format
        blockTokens = space.blockTokens
    }

    /// Cuts tokens into blocks.
    public func chain(_ tokens: [UInt32] = []) -> KVChain {
        var chain = KVChain(space)
        chain.append(tokens)
        return chain
    }

    /// The longest stored prefix of a sequence of tokens.
    public func longestPrefix(of tokens: [UInt32]) throws -> KVPrefix { try longestPrefix(of: chain(tokens)) }

    /// The longest stored prefix of a chain, whose keys are computed already.
    public func longestPrefix(of chain: KVChain) throws -> KVPrefix {
        precondition(chain.space == space.digest, "the chain belongs to other KV blocks")
        let count = try store.catalog.read { db in try KVTable.count(of: chain.keys[...], db) }
        let activity = store.catalog.activity
        activity.add(Double(count), to: .hits, QuotaKind.kv.place)
        activity.add(Double(chain.keys.count - count), to: .misses, QuotaKind.kv.place)
        // Prompts that end within the found blocks are counted when these are leased.
        try prompts.count(chain.keys[...], behind: count)
        return chain.prefix(count)
    }

    /// Counts the common prompts that a request for a prefix begins with.
    func countPrompts(_ prefix: KVPrefix) throws { try prompts.count(prefix.keys) }

    /// The shards of a prefix's blocks, up to the first block that is not stored.
    func shards(of prefix: KVPrefix) throws -> [KVShard] {
        let known = seen.withLock { seen in prefix.keys.map { seen[$0] } }
        let all = known.compactMap(\.self)
        if all.count == known.count { return all }
        let shards = try store.catalog.read { db -> [KVShard] in
            let count = try KVTable.count(of: prefix.keys, db)
            return count == 0 ? [] : try KVTable.chain(to: prefix.keys[prefix.keys.startIndex + count - 1], db)
        }
        seen.withLock { seen in
            if seen.count + shards.count > Self.mostSeen { seen = [:] }
            for (key, shard) in zip(prefix.keys, shards) { seen[key] = shard }
        }
        return shards
    }

    /// Clears `seen`: called when a block in it is missing or damaged.
    func forgetSeen() { seen.withLock { $0 = [:] } }

    /// A new path in `staging/` for a block.
    func stagingPath() throws -> String {
        "\(try store.stagingDirectory())/kv-\(Self.numbers.add(1, ordering: .relaxed).newValue)"
    }
}
