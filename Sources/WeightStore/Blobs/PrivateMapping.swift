import Glibc

/// A blob, mapped so that it may be written to: pages are the page cache's, shared with everybody, until they are
/// written, and then this mapping's own. The blob never sees it.
///
/// For engines that can't say of an array that it is read-only, as PyTorch can't.
package final class PrivateMapping: Sendable {
    /// Of the first byte; 0 for a blob of zero bytes.
    package let address: UInt
    private let count: Int

    /// - Throws: as `FileDescriptor.blob(_:digest:bytes:)`.
    init(path: String, digest: Digest, bytes: Int) throws(StoreError) {
        let file = try FileDescriptor.blob(path, digest: digest, bytes: bytes)
        count = bytes
        guard bytes > 0 else {
            address = 0
            return
        }
        let mapped = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.raw, 0)
        guard let mapped, mapped != MAP_FAILED else { throw .system(operation: "mmap", path: path, code: errno) }
        address = UInt(bitPattern: mapped)
    }

    deinit {
        if count > 0 { munmap(UnsafeMutableRawPointer(bitPattern: address), count) }
    }
}

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
