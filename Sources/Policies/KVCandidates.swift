import GRDB
import Storage
import Support

/// `candidate` for KV blocks: all of them, for a policy to rank.
///
/// A policy ranks blocks independently of each other; ``leavesFirst(_:until:)`` turns its ranking into an order in
/// which children precede their parents. Leased blocks are included, because their bytes stay readable after the file
/// is removed.
package struct KVCandidates {
    /// A selection of namespaces, by the ids of their rows.
    package enum Spaces {
        case only([Int64])
        case others([Int64])

        fileprivate var condition: String {
            let (ids, isIn) =
                switch self {
                case .only(let ids): (ids, "IN")
                case .others(let ids): (ids, "NOT IN")
                }
            let list = ids.map(String.init).joined(separator: ", ")
            return "AND (SELECT space_id FROM main.kv_block WHERE shard_id = shard.id) \(isIn) (\(list))"
        }
    }

    package let database: PolicyDatabase

    /// Opens a separate connection to the catalog and creates the view, as of now.
    ///
    /// - Parameters:
    ///   - spaces: the spaces whose blocks are candidates; nil means all.
    ///   - excluded: a block that is not a candidate.
    package init(_ catalog: String, _ spaces: Spaces? = nil, excluding excluded: Int64? = nil) throws {
        database = try PolicyDatabase(catalog)
        let rows = """
            main.shard
            WHERE shard.kind = 'kv' AND shard.orphaned_at IS NULL AND shard.id <> \(excluded ?? 0)
                  \(spaces?.condition ?? "")
            """
        try database.execute(
            """
            CREATE TEMP TABLE moment (now INTEGER NOT NULL);
            INSERT INTO temp.moment (now) VALUES (\(StoreClock.now));
            \(CandidateView.create(\.kv, from: rows))
            """)
    }

    /// The first victims under a policy, each after all its descendants, until they free enough.
    ///
    /// The next victim is always the leaf that the policy ranks first. So a block that the policy ranks before its
    /// children is deferred until they are victims.
    ///
    /// - Parameters:
    ///   - bytes: the bytes to free.
    ///   - expected: a first guess of the number of victims.
    ///   - seconds: the time limit of the query.
    /// - Throws: as ``PolicyDatabase/victims(_:now:bytes:count:expected:seconds:bytesOf:)``.
    package func victims(_ policy: Policy, bytes: Int, expected: Int, seconds: Double) throws -> [PolicyDatabase.Victim]
    {
        let size = try database.prepare("SELECT bytes FROM main.shard WHERE id = ? AND kind = 'kv'")
        var count = expected
        while true {
            let ranked = try database.victims(
                policy, now: Double(StoreClock.now), bytes: .max, count: count, expected: count, seconds: seconds
            ) { shard in
                size.bind(1, Int(shard))
                defer { size.reset() }
                return try size.step() ? size.integer(0) : nil
            }
            let (going, freed) = try leavesFirst(ranked, until: bytes)
            if freed >= bytes || ranked.count < count { return going }
            count *= 8
        }
    }

    private func leavesFirst(_ ranked: [PolicyDatabase.Victim], until bytes: Int) throws
        -> (going: [PolicyDatabase.Victim], freed: Int)
    {
        let parentOf = try database.prepare("SELECT coalesce(parent_id, 0) FROM main.kv_block WHERE shard_id = ?")
        let childrenOf = try database.prepare("SELECT count(*) FROM main.kv_block WHERE parent_id = ?")
        func number(_ statement: PolicyStatement, _ block: Int64) throws -> Int {
            statement.bind(1, Int(block))
            defer { statement.reset() }
            return try statement.step() ? statement.integer(0) : 0
        }
        var children: [Int64: Int] = [:]
        var waiting: [Int64: PolicyDatabase.Victim] = [:]
        var going: [PolicyDatabase.Victim] = []
        var freed = 0
        for victim in ranked where freed < bytes {
            let count = try children[victim.shard] ?? number(childrenOf, victim.shard)
            if count > 0 {
                children[victim.shard] = count
                waiting[victim.shard] = victim
                continue
            }
            var leaf = Optional(victim)
            while let block = leaf, freed < bytes {
                going.append(block)
                freed.add(saturating: block.bytes)
                let parent = Int64(try number(parentOf, block.shard))
                let left = try (children[parent] ?? number(childrenOf, parent)) - 1
                children[parent] = left
                leaf = left == 0 ? waiting.removeValue(forKey: parent) : nil
            }
        }
        return (going, freed)
    }
}
