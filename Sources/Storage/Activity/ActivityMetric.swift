/// A quantity that processes count, and that the catalog adds up for all of them.
///
/// Each is counted per place, and some per part of it. The place is a tier (`ram`, `cuda:0`; `disk` for weights on disk and
/// `kv` for KV blocks on disk) or the kind of a source (``SourceKind``).
public enum ActivityMetric: String, Sendable, Codable, CaseIterable {
    /// Uses of shards that were in the tier. On `disk`: reads of shards that were stored. In `kv`: blocks of prompts that
    /// were stored.
    case hits
    /// Bytes of the uses of `hits`; of memory tiers only.
    case hitBytes = "hit_bytes"
    /// Uses of shards that waited for a load. On `disk`: shards that were fetched because something read them. In `kv`:
    /// blocks of prompts that were not stored.
    case misses
    /// Bytes of the uses of `misses`.
    case missBytes = "miss_bytes"
    /// Loads into a memory tier by their duration; the part is the bucket (``TimeHistogram``).
    case loads
    /// The duration of all loads into a memory tier, in seconds.
    case loadSeconds = "load_seconds"
    /// Loads into a memory tier that failed.
    case loadFailures = "load_failures"
    /// Evicted shards or KV blocks; the part is the policy.
    case evictions
    /// Bytes of `evictions`; the part is the policy.
    case evictedBytes = "evicted_bytes"
    /// Requests to a source: shards read from `disk` into memory tiers; shards or ranges fetched from an origin.
    case reads
    /// Bytes of `reads`.
    case readBytes = "read_bytes"
    /// The duration of all `reads`, in seconds. Those that overlap each count in full.
    case readSeconds = "read_seconds"
    /// Requests to an origin that failed; the part is the reason (``FailureReason``).
    case readFailures = "read_failures"
    /// Fetches of single shards by the time until the first byte arrived; the part is the bucket (``TimeHistogram``).
    case firstBytes = "first_bytes"
    /// The time until the first byte of all `firstBytes`, in seconds.
    case firstByteSeconds = "first_byte_seconds"
    /// Changes of the catalog. The place is empty.
    case writes
    /// The wait for the write lock of all `writes`, in seconds. The place is empty.
    case writeWaitSeconds = "write_wait_seconds"

    /// For a histogram, the metric of the sum of its times; nil for others.
    public var sum: ActivityMetric? {
        switch self {
        case .loads: .loadSeconds
        case .firstBytes: .firstByteSeconds
        default: nil
        }
    }
}

/// The kind of a source of shards, by the scheme of its URL.
public enum SourceKind: String, Sendable, Codable, CaseIterable {
    /// The disk of this machine: the blobs of the store.
    case disk
    /// A node of the fleet, or another server of this program.
    case peer
    /// A bucket of an object store.
    case bucket
    /// A hub.
    case hub
    /// A directory.
    case directory

    /// The kind of the origin with a URL.
    public init(origin url: String) {
        // A peer's scheme is `peer+https`.
        let scheme = url.utf8.prefix { $0 != UInt8(ascii: ":") && $0 != UInt8(ascii: "+") }
        self =
            switch String(decoding: scheme, as: UTF8.self).lowercased() {
            case "file": .directory
            case "s3": .bucket
            case "peer": .peer
            default: .hub
            }
    }
}

/// Why a request to an origin failed.
public enum FailureReason: String, Sendable, Codable, CaseIterable {
    /// No answer: the address, the connection or the time limit.
    case unreachable
    /// The origin refused the credentials, or demands some.
    case refused
    /// The origin does not have the bytes.
    case absent
    /// The bytes have another digest.
    case wrongBytes = "wrong_bytes"
    /// There is no room for the bytes here.
    case noRoom = "no_room"
    /// Any other.
    case other
}
