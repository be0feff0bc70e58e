import DeviceMemory
import Storage
import Support

/// The memory of a tier: reserves memory for shards, and loads their bytes.
package protocol TierMedium: Sendable {
    /// Reserves memory for one shard or range; releasing the value frees it. Called under the tier's lock, so it must
    /// be fast and perform no I/O.
    ///
    /// - Throws: ``DeviceError/arenaFull(_:requested:free:largest:budget:)`` if no contiguous space is large enough; the
    ///   tier then evicts more.
    func reserve(bytes: Int) throws -> Reservation

    /// Starts to load a shard, or the range of it that is resident. Returns at once.
    ///
    /// - Parameters:
    ///   - path: the path of the shard's blob.
    ///   - work: if it is cancelled, the load may end with `CancellationError`.
    ///   - completion: called once, on any thread.
    func load(
        _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void)

    /// Reads the files of shards that their holders map themselves; nil if the tier has no such shards.
    var reader: PageReader? { get }
}

extension TierMedium {
    package var reader: PageReader? { nil }
}

/// Memory that is reserved for a shard before its bytes are read.
package enum Reservation: Sendable {
    /// Pages of the page cache, which the kernel allocates on reading.
    case pages
    /// A region of a device's memory.
    case device(DeviceRegion)
}

/// The bytes of a resident shard, or of a range of one.
package enum Payload: Sendable {
    /// A mapped and populated blob, or a range of it.
    case mapped(MappedBlob)
    /// A region of a device's memory.
    case device(DeviceRegion)
    /// No bytes: the holders of leases map the blob themselves.
    case unmapped
}
