import Crypto

/// The namespace of KV blocks that can form one sequence: same revision, byte layout, tenant and block length.
///
/// Every key includes the namespace's digest, so a lookup that differs in any of the four does not find the block.
package struct KVSpace: Sendable {
    /// The revision, identified by the digest of its first manifest.
    package let revision: ContentDigest
    /// The engine's name for the byte layout.
    package let format: String
    /// The length of a block, in tokens.
    package let blockTokens: Int
    /// The SHA-256 of the tenant's salt.
    package let tenant: ContentDigest
    /// The SHA-256 of all four.
    package let digest: ContentDigest

    /// - Parameter tenant: the tenant's salt.
    package init(revision: ContentDigest, format: String, blockTokens: Int, tenant: String) {
        self.revision = revision
        self.format = format
        self.blockTokens = blockTokens
        self.tenant = Array(tenant.utf8).withUnsafeBytes { ContentDigest(of: $0) }
        var hasher = SHA256()
        func add(_ text: String) {
            // The length prefix makes the encoding of several texts unambiguous.
            var bytes = withUnsafeBytes(of: UInt64(text.utf8.count).bigEndian, Array.init)
            bytes += Array(text.utf8)
            bytes.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        }
        add("weightstore kv 1")
        revision.update(&hasher)
        add(format)
        // The salt itself, so that keys cannot be computed from the catalog, which contains only its digest.
        add(tenant)
        withUnsafeBytes(of: UInt64(blockTokens).bigEndian) { hasher.update(bufferPointer: $0) }
        digest = ContentDigest(hasher.finalize())
    }
}
