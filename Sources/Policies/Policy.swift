import Files
import Glibc
import Storage
import Support

/// An eviction policy: one SELECT over `candidate` that returns shards in the order of their eviction.
///
///     SELECT shard_id FROM candidate ORDER BY last_access, shard_id
///
/// `candidate` has a row for each shard that may be evicted from the tier:
///
/// | column | |
/// |---|---|
/// | `shard_id` | on disk the id of the shard's row; in a memory tier a number valid during the query |
/// | `bytes` | the size of the shard |
/// | `last_access` | seconds since 1970; in a memory tier with fractions |
/// | `access_count` | uses since insertion |
/// | `heat` | uses, each halved for every day since; kept across evictions |
/// | `inserted_at` | seconds since 1970 |
/// | `fetch_seconds` | the duration of the last fetch or load; before the first one, 0.05 s and 1 Gbit/s are assumed |
/// | `layer`, `kind` | as in the catalog; the layer is NULL for shards outside layers |
/// | `model_count` | the number of models that contain it |
/// | `clock` | the value of the tier's clock at the last use |
/// | `depth` | for a KV block: the number of blocks before it; otherwise 0 |
/// | `children` | for a KV block: the number of its children, in memory tiers only evictable ones; otherwise 0 |
///
/// The query returns `shard_id`, then optionally `bytes` (avoids a lookup) and `priority`. The highest evicted priority
/// is the value of the tier's clock, with which policies of the GreedyDual family age. `:now` is the time in seconds
/// since 1970.
public struct Policy: Sendable, Equatable {
    /// The name of the policy: that of its file, without `.sql`.
    public let name: String
    /// The path of the file; nil if the policy is built in.
    public let path: String?
    /// The text of the query.
    public let sql: String

    /// Creates a policy; it is checked when it is used.
    public init(name: String, path: String? = nil, sql: String) {
        self.name = name
        self.path = path
        self.sql = sql
    }

    /// The built-in default: least recently used first.
    public static let lru = Policy(name: "lru", sql: String(decoding: PackageResources.lru_sql, as: UTF8.self))

    /// The built-in policies.
    public static let builtIn: [Policy] = [
        ("lru", PackageResources.lru_sql), ("lfu", PackageResources.lfu_sql), ("size", PackageResources.size_sql),
        ("lfuda", PackageResources.lfuda_sql), ("gdsf", PackageResources.gdsf_sql), ("ttl", PackageResources.ttl_sql),
        ("slru", PackageResources.slru_sql), ("hyperbolic", PackageResources.hyperbolic_sql),
        ("heat", PackageResources.heat_sql), ("tail", PackageResources.tail_sql),
    ].map { Policy(name: $0.0, sql: String(decoding: $0.1, as: UTF8.self)) }

    /// Reads an operator's policy, also from a pipe. Its name is that of the file, without `.sql`.
    ///
    /// - Throws: ``FileError``; ``StorageError/invalid(what:value:reason:)`` for a file that is too long.
    public init(file path: String) throws {
        try self.init(reading: FileDescriptor(path, O_RDONLY))
    }

    /// Reads an operator's policy in a store.
    ///
    /// - Throws: as ``init(file:)``; ``FileError/notRegular(path:found:)``.
    package static func stored(_ path: String) throws -> Policy? {
        guard let file = try FileDescriptor.openIfPresent(path) else { return nil }
        return try Policy(reading: file)
    }

    private init(reading opened: borrowing FileDescriptor) throws {
        let path = opened.path
        guard let bytes = try opened.readAll(ifAtMost: Self.longest) else {
            throw StorageError.invalid(what: "policy", value: path, reason: "must have at most \(Self.longest) bytes")
        }
        let file = FileSystem.name(of: path)
        self.init(
            name: file.dropping(byteSuffix: ".sql") ?? file, path: path,
            sql: String(decoding: bytes, as: UTF8.self))
    }

    /// The largest size of a policy's file, in bytes.
    package static let longest = 64 << 10

    /// The text of the leading comment.
    public var summary: String {
        let lines = sql.split(separator: "\n", omittingEmptySubsequences: false)
        return lines.prefix { $0.hasPrefix("--") }.map { $0.dropFirst(2).drop { $0 == " " } }.joined(separator: " ")
    }
}
