import Storage

/// An engine that computes keys and values: a warm-up requests KV blocks of common prompts from it that the store
/// lacks.
public protocol PrefillEngine: Sendable {
    /// The KV blocks of a revision that the engine leases when it serves: one value for each tenant to warm.
    ///
    ///     [try store.kvBlocks(of: revision, format: "bf16 [32,2,8,256,128]", blockTokens: 256)]
    ///
    /// Called on a thread outside of Swift's cooperative pool. Returns an empty array if the engine does not serve the
    /// revision.
    func kvBlocks(of revision: Revision, in store: Store) throws -> [KVBlocks]

    /// Computes the blocks of a prompt, from the first missing one. The weights of the revision that fit the tier are
    /// resident by then.
    ///
    /// - Parameters:
    ///   - kv: the revision, format and tenant. The blocks before the first missing one can be leased from it.
    ///   - tokens: the tokens of the prompt's whole blocks.
    ///   - firstMissing: the index of the first block to compute.
    /// - Returns: the blocks' bytes, in order. The array may be shorter than the missing blocks.
    func prefill(_ kv: KVBlocks, tokens: [UInt32], firstMissing: Int) async throws -> [[UInt8]]
}

/// KV blocks of a prompt that an engine has to compute.
public struct PlannedPrefill: Sendable, Encodable {
    /// `org/name@~3`.
    public let revision: String
    /// The prompt's name.
    public let prompt: String
    /// The layout of a block's bytes.
    public let format: String
    /// The SHA-256 of the tenant's salt.
    public let tenant: ContentDigest
    /// The number of missing blocks.
    public let missing: Int
    /// The number of stored blocks, which precede the missing ones.
    public let present: Int

    let kv: KVBlocks
    let tokens: [UInt32]

    private enum CodingKeys: String, CodingKey { case revision, prompt, format, tenant, missing, present }

    func skipped(_ reason: SkippedItem.Reason, bytes: Int = 0, _ message: String) -> SkippedItem {
        SkippedItem(revision: revision, prompt: prompt, bytes: bytes, reason: reason, message: message)
    }
}
