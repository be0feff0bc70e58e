import GRDB
import Storage

/// Finds the KV blocks of a revision's common prompts that the store has, and those that an engine has to compute.
///
/// The keys of blocks depend on the space: revision, format, tenant and block length. The catalog lists the spaces in
/// which the store has blocks of the revision; an engine returns the spaces that it uses.
struct PromptPlanner {
    private struct Space {
        let digest: ContentDigest
        let blockTokens: Int
        /// nil if the engine does not use this space.
        var kv: KVBlocks?
    }

    private let store: Store
    private let revision: PopularRevision
    private let engine: (any PrefillEngine)?
    private let now: Int

    init(_ store: Store, _ revision: PopularRevision, _ engine: (any PrefillEngine)?, now: Int) {
        self.store = store
        self.revision = revision
        self.engine = engine
        self.now = now
    }

    /// The stored blocks, by prompt. Missing blocks are added to the plan: to `prefills`, or to `skipped`.
    func candidates(_ plan: inout WarmPlan) throws -> [WarmPlanner.Candidate] {
        let prompts = try store.catalog.read { db in try PromptTable.tokens(of: revision.model, now: now, db) }
        if prompts.isEmpty { return [] }
        let spaces = try spaces()
        var candidates: [WarmPlanner.Candidate] = []
        for prompt in prompts {
            let item = WarmItem(revision, prompt: prompt.name, uses: prompt.uses)
            func leaveOut(_ reason: SkippedItem.Reason, _ message: String) {
                plan.skipped.append(
                    SkippedItem(
                        revision: revision.name, prompt: prompt.name, bytes: 0, reason: reason, message: message))
            }
            if spaces.isEmpty {
                leaveOut(.notComputed, "its KV blocks were never computed, which requires an engine")
            }
            for space in spaces {
                var chain = KVChain(space: space.digest, blockTokens: space.blockTokens)
                chain.append(prompt.tokens)
                guard chain.blocks > 0 else {
                    leaveOut(
                        .tooShort, "it has \(chain.tokens) tokens, less than a KV block of \(space.blockTokens) tokens")
                    continue
                }
                let present = try blocks(chain, uses: prompt.uses)
                if !present.isEmpty { candidates.append(.init(item: item, shards: present)) }
                let missing = chain.blocks - present.count
                guard missing > 0 else { continue }
                guard let kv = space.kv else {
                    if engine == nil {
                        leaveOut(
                            .notComputed,
                            "\(missing) of \(chain.blocks) KV blocks are missing, and computing them requires an engine"
                        )
                    }
                    continue
                }
                plan.prefills.append(
                    PlannedPrefill(
                        revision: revision.name, prompt: prompt.name, format: kv.format, tenant: kv.space.tenant,
                        missing: missing, present: present.count, kv: kv,
                        tokens: Array(prompt.tokens.prefix(chain.blocks * space.blockTokens))))
            }
        }
        return candidates
    }

    private func spaces() throws -> [Space] {
        var spaces = try store.catalog.read { db in
            try Row.mapAll(
                db.cachedStatement(
                    sql: """
                        SELECT kv_space.digest, kv_space.block_tokens
                        FROM kv_space_revision JOIN kv_space ON kv_space.id = kv_space_revision.space_id
                        WHERE kv_space_revision.revision_id = ?
                        ORDER BY kv_space.id
                        """),
                arguments: [revision.id]
            ) { row in
                let blockTokens: Int = try row.size("block_tokens")
                guard blockTokens > 0 else { throw row.damaged("block_tokens") }
                return Space(digest: try row.value("digest"), blockTokens: blockTokens)
            }
        }
        guard let engine else { return spaces }
        let held = try store.heldRevision("\(revision.model)@\(revision.digest)")
        for kv in try engine.kvBlocks(of: held, in: store) {
            let space = Space(digest: kv.space.digest, blockTokens: kv.blockTokens, kv: kv)
            if let known = spaces.firstIndex(where: { $0.digest == space.digest }) {
                spaces[known] = space
            } else {
                spaces.append(space)
            }
        }
        return spaces
    }

    private func blocks(_ chain: KVChain, uses: Double) throws -> [WarmShard] {
        try store.catalog.read { db in
            let count = try KVTable.count(of: chain.keys[...], db)
            if count == 0 { return [] }
            let shards = try KVTable.chain(to: chain.keys[count - 1], db)
            let heats = try Popularity.uses(of: shards.map(\.digest), now: now, db)
            return shards.map { shard in
                WarmShard(
                    digest: shard.digest, bytes: shard.bytes, layer: shard.depth, isPresent: true, isAvailable: true,
                    uses: max(uses, heats[shard.digest] ?? 0), fetchSeconds: nil)
            }
        }
    }
}
