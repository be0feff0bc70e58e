/// The two separate quotas: eviction for one never evicts shards of the other.
public enum QuotaKind: String, Sendable, Codable, CaseIterable {
    /// Shards of files.
    case weights
    /// Shards of kind `kv`.
    case kv

    /// The name of a setting of this kind: `group.name` for weights, and `group.kv.name` for KV blocks.
    package func setting(_ group: String, _ name: String) -> String {
        self == .weights ? "\(group).\(name)" : "\(group).kv.\(name)"
    }

    /// The place on disk, in events and activity: `disk` for weights, `kv` for KV blocks.
    package var place: String { self == .weights ? SourceKind.disk.rawValue : rawValue }

    /// The table of the totals.
    var totals: String { self == .weights ? "shard_totals" : "kv_totals" }

    /// The policy in use until an operator sets another.
    var defaultPolicy: String { self == .weights ? "lru" : "tail" }
}
