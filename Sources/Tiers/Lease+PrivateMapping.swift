import Files
import Glibc

extension Lease {
    /// Maps the shard of a tensor copy-on-write.
    ///
    /// - Returns: nil for a tensor of zero bytes.
    /// - Throws: ``StorageError/missing(path:digest:)``, ``StorageError/damaged(path:digest:expected:found:)``.
    package func privateMapping(of tensor: LeasedTensor) throws -> PrivateMapping? {
        try tensor.shard.map { shard in
            try PrivateMapping(path: group.tier.path(shard.digest), digest: shard.digest, bytes: shard.shardBytes)
        }
    }
}
