import Storage
import Tiers

/// KV blocks whose bytes are in a tier, and stay there as long as the lease does: the first blocks of a prefix, in order.
///
/// Given back once: by ``release()``, or with the last reference to it. Until then the blocks stay readable, whatever
/// becomes of the store.
public final class KVLease: Sendable {
    public var tier: Tier { lease.tier }
    /// How many blocks; 0 if none was there.
    public var blocks: Int { lease.group.shards.count }
    /// Tokens that the blocks stand for.
    public let tokens: Int
    private let lease: Lease

    /// Takes over a lease on the blocks.
    init(_ lease: Lease, blockTokens: Int) {
        self.lease = lease
        tokens = lease.group.shards.count * blockTokens
    }

    /// The size of a block's bytes.
    public func bytes(ofBlock block: Int) -> Int { lease.group.shards[block].bytes - KVTable.trailerBytes }

    /// A block's bytes in RAM, for the time of the call; those on a device are copied from there.
    ///
    /// - Parameter body: must not keep the bytes.
    public func withUnsafeBytes<Result>(
        ofBlock block: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        lease.preconditionHeld()
        return try lease.group.shards[block].payload.withUnsafeBytes(0..<bytes(ofBlock: block), body)
    }

    /// Where a block's bytes are: an address in this process for `ram`, in the device's memory for a device. Valid as long
    /// as the lease is held.
    public func address(ofBlock block: Int) -> UInt64 {
        lease.preconditionHeld()
        return lease.group.shards[block].payload.address
    }

    /// Gives the lease back now. Its bytes must not be read any more. A second call does nothing.
    public func release() { lease.release() }
}
