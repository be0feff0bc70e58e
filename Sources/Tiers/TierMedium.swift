import DeviceMemory
import Storage
import Support

/// The memory of a tier: reserves memory for shards, and loads their bytes.
package protocol TierMedium: Sendable {
    /// Reserves memory for one shard or range; releasing the value frees it. Called under the tier's lock, so it must
    /// be fast and perform no I/O. A device may have to allocate a slab for it, which takes up to some milliseconds.
    ///
    /// - Throws: ``DeviceError/arenaFull(_:requested:free:largest:budget:)`` if no contiguous space is large enough, and
    ///   ``DeviceError/outOfMemory(_:requested:free:)`` if others use the device's memory; the tier then evicts more.
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

    /// Calls `body` once: at a later release of reserved memory, after it is free, on the thread that releases it, which
    /// may hold the tier's lock. A `body` of an earlier call that was not called yet is not called any more.
    ///
    /// - Parameter skipped: the number of releases before that one.
    func notify(afterReleases skipped: Int, _ body: @escaping @Sendable () -> Void)

    /// Returns memory in which nothing is reserved to the system.
    func trim()

    /// The bytes that can be reserved now; nil if only the budget limits them.
    var available: Int? { get }

    /// As `load(_:at:into:_:completion:)`.
    ///
    /// - Parameter queued: called at most once, before `completion`, when the copies of the bytes to a device are queued;
    ///   must return quickly. Media without such copies do not call it.
    func load(
        _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
        queued: @escaping @Sendable (Payload) -> Void,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void)

    /// An event behind all copies that are queued now; nil for media without such copies.
    func mark() throws(DeviceError) -> DeviceEvent?

    /// Reads the files of shards that their holders map themselves; nil if the tier has no such shards.
    var reader: PageReader? { get }
}

extension TierMedium {
    package var reader: PageReader? { nil }
    package func trim() {}
    package var available: Int? { nil }

    package func load(
        _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
        queued: @escaping @Sendable (Payload) -> Void,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
    ) { load(shard, at: path, into: reservation, work, completion: completion) }

    package func mark() throws(DeviceError) -> DeviceEvent? { nil }
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
