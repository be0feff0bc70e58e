import Crypto

/// Which KV blocks can follow each other: those of one revision, one layout of the bytes, one tenant, and one length.
///
/// Its digest goes into every key, so that a block is found by nobody who differs in any of them.
package struct KVSpace: Sendable {
    /// What names the revision: the digest of its manifest, as it was when the revision became known.
    package let revision: ContentDigest
    package let format: String
    /// Tokens of a block.
    package let blockTokens: Int
    /// The SHA-256 of the tenant's salt.
    package let tenant: ContentDigest
    package let digest: ContentDigest

    package init(revision: ContentDigest, format: String, blockTokens: Int, tenant: String) {
        self.revision = revision
        self.format = format
        self.blockTokens = blockTokens
        self.tenant = Array(tenant.utf8).withUnsafeBytes { ContentDigest(of: $0) }
        var hasher = SHA256()
        func add(_ text: String) {
            // With its length, so that no two pairs of texts read alike.
            var bytes = withUnsafeBytes(of: UInt64(text.utf8.count).bigEndian, Array.init)
            bytes += Array(text.utf8)
            bytes.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        }
        add("weightstore kv 1")
        revision.update(&hasher)
        add(format)
        // The salt itself: the digest of it that the catalog keeps would not do to compute a key.
        add(tenant)
        withUnsafeBytes(of: UInt64(blockTokens).bigEndian) { hasher.update(bufferPointer: $0) }
        digest = ContentDigest(hasher.finalize())
    }
}
