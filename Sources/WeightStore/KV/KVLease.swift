import Storage
import Tiers

/// A lease of KV blocks in a tier: the first blocks of a prefix, in order. They stay resident as long as it is held.
///
/// The lease ends with ``release()``, or with the last reference to it. Until then the blocks stay readable, even if
/// the store is closed or the blocks are dropped.
public final class KVLease: Sendable {
    /// The tier that holds the blocks.
    public var tier: Tier { lease.tier }
    /// The number of blocks; 0 if none was stored.
    public var blocks: Int { lease.group.shards.count }
    /// The number of tokens in these blocks.
    public let tokens: Int
    private let lease: Lease

    /// Owns a lease of the blocks.
    init(_ lease: Lease, blockTokens: Int) {
        self.lease = lease
        tokens = lease.group.shards.count * blockTokens
    }

    /// The size of a block, in bytes.
    public func bytes(ofBlock block: Int) -> Int { lease.group.shards[block].bytes - KVTable.trailerBytes }

    /// Calls `body` with a block's bytes in RAM; bytes on a device are copied to RAM first.
    ///
    /// - Parameters:
    ///   - block: the index of the block in the chain.
    ///   - body: must not keep the pointer.
    public func withUnsafeBytes<Result>(
        ofBlock block: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        lease.preconditionHeld()
        return try lease.group.shards[block].payload.withUnsafeBytes(0..<bytes(ofBlock: block), body)
    }

    /// The address of a block's bytes: in this process for `ram`, in device memory for a device. Valid as long as the
    /// lease is held.
    public func address(ofBlock block: Int) -> UInt64 {
        lease.preconditionHeld()
        return lease.group.shards[block].payload.address
    }

    /// Ends the lease. Its bytes must not be read any more. A second call has no effect.
    public func release() { lease.release() }
}
