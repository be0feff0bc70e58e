import Files
import Storage

/// A policy: one SELECT over `candidate` that names shards in the order in which they shall go.
///
///     SELECT shard_id FROM candidate ORDER BY last_access, shard_id
///
/// `candidate` has a row for each shard that may go from the tier in question:
///
/// | column | |
/// |---|---|
/// | `shard_id` | on disk the shard's row; in a memory tier a number for the time of the query |
/// | `bytes` | its size |
/// | `last_access` | seconds since 1970; in a memory tier with fractions |
/// | `access_count` | uses since it came in |
/// | `heat` | uses, each halved for every day that has passed since; outlives eviction |
/// | `inserted_at` | seconds since 1970 |
/// | `fetch_seconds` | what bringing it in took last time; before the first time 0.05 s and 1 Gbit/s are assumed |
/// | `layer`, `kind` | as in the catalog; NULL for what belongs to no layer |
/// | `model_count` | how many models hold it |
/// | `clock` | what the tier's clock showed when the shard was last used |
/// | `depth` | of a KV block: how many blocks come before it; otherwise 0 |
/// | `children` | of a KV block: how many blocks build on it, in memory tiers of those that may go; otherwise 0 |
///
/// The query returns `shard_id`, then optionally `bytes` (spares a look-up) and `priority`: the tier's clock is the
/// highest priority that was evicted, which is how the GreedyDual family ages. `:now` is the time in seconds since 1970.
public struct Policy: Sendable, Equatable {
    public let name: String
    /// The file it was read from; nil if it is built in.
    public let path: String?
    public let sql: String

    public init(name: String, path: String? = nil, sql: String) {
        self.name = name
        self.path = path
        self.sql = sql
    }

    public static let lru = Policy(name: "lru", sql: String(decoding: PackageResources.lru_sql, as: UTF8.self))

    /// The policies that the library brings.
    public static let builtIn: [Policy] = [
        ("lru", PackageResources.lru_sql), ("lfu", PackageResources.lfu_sql), ("size", PackageResources.size_sql),
        ("lfuda", PackageResources.lfuda_sql), ("gdsf", PackageResources.gdsf_sql), ("ttl", PackageResources.ttl_sql),
        ("slru", PackageResources.slru_sql), ("hyperbolic", PackageResources.hyperbolic_sql),
        ("heat", PackageResources.heat_sql), ("tail", PackageResources.tail_sql),
    ].map { Policy(name: $0.0, sql: String(decoding: $0.1, as: UTF8.self)) }

    /// Reads an operator's policy; its name is the file's.
    public init(file path: String) throws {
        let bytes = try FileSystem.read(path)
        guard bytes.count <= Self.longest else {
            throw StorageError.invalid(what: "policy", value: path, reason: "it is longer than \(Self.longest) bytes")
        }
        let file = FileSystem.name(of: path)
        self.init(
            name: file.hasSuffix(".sql") ? String(file.dropLast(4)) : file, path: path,
            sql: String(decoding: bytes, as: UTF8.self))
    }

    /// Bytes of a policy's file at most.
    package static let longest = 64 << 10

    /// What the leading comment says.
    public var summary: String {
        let lines = sql.split(separator: "\n", omittingEmptySubsequences: false)
        return lines.prefix { $0.hasPrefix("--") }.map { $0.dropFirst(2).drop { $0 == " " } }.joined(separator: " ")
    }
}
