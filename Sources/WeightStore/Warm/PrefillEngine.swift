import Storage

/// An engine that computes keys and values: a warm-up asks it for KV blocks of common prompts that the store lacks.
public protocol PrefillEngine: Sendable {
    /// The KV blocks of a revision that the engine looks for when it serves: one value for each tenant that is to be warmed.
    ///
    ///     [try store.kvBlocks(of: revision, format: "bf16 [32,2,8,256,128]", blockTokens: 256)]
    ///
    /// Called on a thread of its own. Empty if the engine does not serve the revision.
    func kvBlocks(of revision: Revision, in store: Store) throws -> [KVBlocks]

    /// Computes the blocks of a prompt from the first that is missing on. The revision's weights are in the tier by then, as
    /// far as they fit.
    ///
    /// - Parameters:
    ///   - kv: which revision, format and tenant. The blocks before the first missing one can be leased from it.
    ///   - tokens: all of the prompt, in whole blocks.
    ///   - firstMissing: the number of the first block that is wanted.
    /// - Returns: the blocks' bytes, in order; less than all is taken, too.
    func prefill(_ kv: KVBlocks, tokens: [UInt32], firstMissing: Int) async throws -> [[UInt8]]
}

/// KV blocks that an engine is to compute.
public struct PlannedPrefill: Sendable, Encodable {
    /// `org/name@v3`.
    public let revision: String
    public let prompt: String
    public let format: String
    /// The SHA-256 of the tenant's salt.
    public let tenant: ContentDigest
    /// Blocks that are missing, behind so many that are there.
    public let missing: Int
    public let present: Int

    let kv: KVBlocks
    let tokens: [UInt32]

    private enum CodingKeys: String, CodingKey { case revision, prompt, format, tenant, missing, present }

    func leftOut(_ reason: LeftOut.Reason, bytes: Int = 0, _ message: String) -> LeftOut {
        LeftOut(revision: revision, prompt: prompt, bytes: bytes, reason: reason, message: message)
    }
}
