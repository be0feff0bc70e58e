import Files
import Glibc

extension Lease {
    /// The shard of a tensor, mapped so that it may be written to.
    ///
    /// - Returns: nil for a tensor of zero bytes.
    package func privateMapping(of tensor: LeasedTensor) throws -> PrivateMapping? {
        try tensor.shard.map { shard in
            try PrivateMapping(path: group.tier.path(shard.digest), digest: shard.digest, bytes: shard.bytes)
        }
    }
}
