import Glibc
import Storage
import Synchronization

/// The KV blocks of one revision, one layout and one tenant: keys and values that an engine computed for the tokens of a
/// prefix, so that the next request that begins alike does not compute them again.
///
///     let kv = try store.kvBlocks(of: revision, format: "bf16 [32,2,8,256,128]", blockTokens: 256, tenant: "acme")
///     let chain = kv.chain(prompt)
///     let lease = try await kv.lease(chain.prefix(), in: .ram)           // the longest beginning that is here
///     for block in 0..<lease.blocks { try lease.withUnsafeBytes(ofBlock: block) { … } }
///     // The engine computes the rest, and gives it to the next one who asks.
///     try kv.put(chain, from: lease.blocks, computed)
///
/// The bytes of a block are the engine's: `format` is any text that says how they are laid out, and blocks of another
/// format, another revision (so of the next version of the model), or another tenant are never found.
///
/// KV may be lost at any time and any block with it, for it can be computed again: by eviction, with its revision, in a
/// power cut, by `rebuild`. What is there is whole, and so is everything before it. A lease keeps its blocks readable, even
/// if they are dropped from the disk meanwhile.
///
/// Calls that don't say otherwise block on I/O. The revision can't be removed as long as the value lives.
public final class KVBlocks: Sendable {
    public let revision: Revision
    public let format: String
    /// Tokens of a block.
    public let blockTokens: Int
    let space: KVSpace
    private let prompts: PromptUses
    var store: Store { revision.store }
    /// The shards of blocks that were leased before, by their keys: a lease that finds them in its tier asks nobody else.
    private let seen = Mutex<[ContentDigest: KVShard]>([:])
    /// So many are remembered.
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

    /// Tokens, cut into blocks.
    public func chain(_ tokens: [UInt32] = []) -> KVChain {
        var chain = KVChain(space)
        chain.append(tokens)
        return chain
    }

    /// The blocks that are here of those that tokens begin with.
    public func longestPrefix(of tokens: [UInt32]) throws -> KVPrefix { try longestPrefix(of: chain(tokens)) }

    /// As ``longestPrefix(of:)-([UInt32])``, of tokens whose keys are known.
    public func longestPrefix(of chain: KVChain) throws -> KVPrefix {
        precondition(chain.space == space.digest, "a chain of other KV blocks")
        let count = try store.catalog.read { db in try KVTable.count(of: chain.keys[...], db) }
        // Those that end among the blocks found are counted when these are leased.
        try prompts.count(chain.keys[...], behind: count)
        return chain.prefix(count)
    }

    /// A request has asked for the blocks of a prefix.
    func countPrompts(_ prefix: KVPrefix) throws { try prompts.count(prefix.keys) }

    /// The shards of a prefix's blocks, as far as they are here.
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

    /// To be called when a block that was seen can't be had any more.
    func forgetSeen() { seen.withLock { $0 = [:] } }

    /// A path in `staging/` for a block.
    func stagingPath() throws -> String {
        "\(try store.stagingDirectory())/kv-\(Self.numbers.add(1, ordering: .relaxed).newValue)"
    }
}
