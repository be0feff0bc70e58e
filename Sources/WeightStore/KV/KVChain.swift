import Crypto
import Storage

/// A sequence of tokens, cut into blocks, with a key for each block. KV blocks are looked up by these keys.
///
/// A key is the SHA-256 of the space (revision, format, tenant, block length), the key of the block before it, and the
/// block's tokens, so it identifies all tokens up to the end of its block. Tokens after the last whole block have no
/// key yet. Keep a chain and append to it, so that the beginning of a conversation is hashed only once:
///
///     var chain = kv.chain(prompt)
///     …
///     chain.append(answer)
public struct KVChain: Sendable {
    /// Tokens per block.
    public let blockTokens: Int
    let space: ContentDigest
    private(set) var keys: [ContentDigest] = []
    private var rest: [UInt32] = []

    init(_ space: KVSpace) { self.init(space: space.digest, blockTokens: space.blockTokens) }

    init(space: ContentDigest, blockTokens: Int) {
        self.space = space
        self.blockTokens = blockTokens
    }

    /// The number of whole blocks.
    public var blocks: Int { keys.count }
    /// The number of tokens, including those after the last whole block.
    public var tokens: Int { keys.count * blockTokens + rest.count }

    /// Appends tokens, and computes the keys of the blocks that they complete.
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

    /// Tokens are hashed in the machine's byte order, because keys stay in one store.
    private mutating func add(_ tokens: UnsafeRawBufferPointer) {
        var hasher = SHA256()
        space.update(&hasher)
        (keys.last ?? .zero).update(&hasher)
        hasher.update(bufferPointer: tokens)
        keys.append(ContentDigest(hasher.finalize()))
    }

    /// The first blocks.
    ///
    /// - Parameter blocks: the maximal number of blocks; nil means all.
    public func prefix(_ blocks: Int? = nil) -> KVPrefix {
        KVPrefix(blockTokens: blockTokens, keys: keys.prefix(max(blocks ?? keys.count, 0)))
    }
}

/// The first blocks of a sequence of tokens.
public struct KVPrefix: Sendable {
    /// Tokens per block.
    public let blockTokens: Int
    let keys: ArraySlice<ContentDigest>

    /// The number of blocks.
    public var blocks: Int { keys.count }
    /// The number of tokens in these blocks.
    public var tokens: Int { keys.count * blockTokens }
    /// Whether there is no block.
    public var isEmpty: Bool { keys.isEmpty }

    /// A prefix of this prefix, with at most that many blocks.
    public func prefix(_ blocks: Int) -> KVPrefix {
        KVPrefix(blockTokens: blockTokens, keys: keys.prefix(max(blocks, 0)))
    }
}
