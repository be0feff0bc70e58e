/// The state of a shard's bytes on disk.
public enum ShardState: String, Sendable, Codable {
    /// The blob exists.
    case present
    /// The blob was evicted; the next use fetches it from an origin.
    case evicted
    /// The blob was damaged and has been moved to quarantine.
    case quarantined
    /// The blob does not exist although the catalog lists it as present.
    case missing
}
