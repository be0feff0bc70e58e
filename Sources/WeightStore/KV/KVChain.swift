import Crypto
import Storage

/// A sequence of tokens, cut into blocks, and the key of each: what KV blocks are looked for by.
///
/// A key is the SHA-256 over the space (revision, format, tenant, block length), the key of the block before it, and the
/// block's tokens; so it stands for all tokens up to the end of its block. Tokens behind the last whole block have no key
/// yet. A chain can be kept and appended to, so that a conversation's beginning is hashed once:
///
///     var chain = kv.chain(prompt)
///     …
///     chain.append(answer)
public struct KVChain: Sendable {
    /// Tokens of a block.
    public let blockTokens: Int
    let space: ContentDigest
    private(set) var keys: [ContentDigest] = []
    private var rest: [UInt32] = []

    init(_ space: KVSpace) { self.init(space: space.digest, blockTokens: space.blockTokens) }

    init(space: ContentDigest, blockTokens: Int) {
        self.space = space
        self.blockTokens = blockTokens
    }

    /// Whole blocks.
    public var blocks: Int { keys.count }
    /// All tokens, those behind the last whole block included.
    public var tokens: Int { keys.count * blockTokens + rest.count }

    public mutating func append(_ tokens: [UInt32]) {
        if !rest.isEmpty {
            let missing = blockTokens - rest.count
            rest += tokens.prefix(missing)
            guard rest.count == blockTokens else { return }
            rest.withUnsafeBytes { add($0) }
            rest = []
            append(tokens[min(missing, tokens.count)...])
        } else {
            append(tokens[...])
        }
    }

    private mutating func append(_ tokens: ArraySlice<UInt32>) {
        keys.reserveCapacity(keys.count + tokens.count / blockTokens)
        tokens.withUnsafeBytes { bytes in
            let length = blockTokens * MemoryLayout<UInt32>.stride
            var start = 0
            while start + length <= bytes.count {
                add(UnsafeRawBufferPointer(rebasing: bytes[start..<start + length]))
                start += length
            }
        }
        rest = Array(tokens.suffix(tokens.count % blockTokens))
    }

    /// In the machine's byte order: keys stay in one store.
    private mutating func add(_ tokens: UnsafeRawBufferPointer) {
        var hasher = SHA256()
        space.update(&hasher)
        (keys.last ?? .zero).update(&hasher)
        hasher.update(bufferPointer: tokens)
        keys.append(ContentDigest(hasher.finalize()))
    }

    /// The first blocks.
    ///
    /// - Parameter blocks: at most; nil means all.
    public func prefix(_ blocks: Int? = nil) -> KVPrefix {
        KVPrefix(blockTokens: blockTokens, keys: keys.prefix(max(blocks ?? keys.count, 0)))
    }
}

/// The first blocks of a sequence of tokens.
public struct KVPrefix: Sendable {
    /// Tokens of a block.
    public let blockTokens: Int
    let keys: ArraySlice<ContentDigest>

    public var blocks: Int { keys.count }
    /// Tokens that the blocks stand for.
    public var tokens: Int { keys.count * blockTokens }
    public var isEmpty: Bool { keys.isEmpty }

    /// A shorter one.
    public func prefix(_ blocks: Int) -> KVPrefix {
        KVPrefix(blockTokens: blockTokens, keys: keys.prefix(max(blocks, 0)))
    }
}
