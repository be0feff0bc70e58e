/// Which shards a quota is for: the two never evict each other.
public enum QuotaKind: String, Sendable, Codable, CaseIterable {
    /// Shards of files.
    case weights
    /// Shards of kind `kv`.
    case kv

    /// A setting's name: those of the weights are older.
    package func setting(_ group: String, _ name: String) -> String {
        self == .weights ? "\(group).\(name)" : "\(group).kv.\(name)"
    }

    /// The table that counts what is stored.
    var totals: String { self == .weights ? "shard_totals" : "kv_totals" }

    /// The policy that chooses until an operator names another.
    var defaultPolicy: String { self == .weights ? "lru" : "tail" }
}
