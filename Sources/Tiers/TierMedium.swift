import DeviceMemory
import Storage
import Support

/// What a memory tier is made of: how memory is taken for shards, and how their bytes come in.
package protocol TierMedium: Sendable {
    /// Takes room for one shard; it is given back with the value. Called under the tier's lock: fast, without I/O.
    ///
    /// - Throws: ``DeviceError/arenaFull(_:asked:free:largest:budget:)`` if there is no piece that large; the tier then
    ///   evicts more.
    func reserve(bytes: Int) throws -> Room

    /// Begins to bring a shard in. Returns at once.
    ///
    /// - Parameters:
    ///   - path: the shard's blob.
    ///   - work: when it is cancelled, the load may end with `CancellationError`.
    ///   - completion: called once, on any thread.
    func load(
        _ shard: Residency, at path: String, into room: Room, _ work: Work,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void)
}

/// Memory taken for a shard before its bytes are read.
package enum Room: Sendable {
    /// The page cache's: the kernel finds it as it reads.
    case pages
    case device(DeviceRegion)
}

/// Where a resident shard's bytes are.
package enum Payload: Sendable {
    /// Mapped, and populated.
    case mapped(MappedBlob)
    case device(DeviceRegion)
}
