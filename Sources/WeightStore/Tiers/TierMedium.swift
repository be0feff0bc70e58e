import DeviceMemory

/// What a memory tier is made of: how memory is taken for shards, and how their bytes come in.
protocol TierMedium: Sendable {
    /// Takes room for one shard; it is given back with the value. Called under the tier's lock: fast, without I/O.
    ///
    /// - Throws: ``DeviceError/arenaFull(_:asked:free:largest:budget:)`` if there is no piece that large; the tier then
    ///   evicts more.
    func reserve(bytes: Int) throws -> Room

    /// Begins to bring a shard in. Returns at once.
    ///
    /// - Parameters:
    ///   - path: the shard's blob.
    ///   - isCancelled: is asked now and then; if true, the load may end with `CancellationError`.
    ///   - completion: called once, on any thread.
    func load(
        _ shard: Residency, at path: String, into room: Room, isCancelled: @escaping @Sendable () -> Bool,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void)
}

/// Memory taken for a shard before its bytes are read.
enum Room: Sendable {
    /// The page cache's: the kernel finds it as it reads.
    case pages
    case device(DeviceRegion)
}

/// Where a resident shard's bytes are.
enum Payload: Sendable {
    /// Mapped, and populated.
    case mapped(MappedBlob)
    case device(DeviceRegion)
}
