import DeviceMemory

/// Shards in a device's memory: brought into the page cache as for RAM, copied into pinned buffers, and from there to
/// the device while the next are being read.
struct DeviceMedium: TierMedium {
    let arena: DeviceArena
    let uploader: Uploader

    func reserve(bytes: Int) throws -> Room { .device(try arena.allocate(bytes: bytes)) }

    func load(
        _ shard: Residency, at path: String, into room: Room, isCancelled: @escaping @Sendable () -> Bool,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
    ) {
        guard case .device(let region) = room else { fatalError("a room of another medium") }
        do {
            let blob = try MappedBlob(path: path, digest: shard.digest, bytes: shard.bytes)
            blob.preferHugePages()
            _ = try uploader.start(
                .filling { buffer, offset in
                    if isCancelled() { throw CancellationError() }
                    try blob.populate(offset..<offset + buffer.count, path: path)
                    blob.copy(from: offset, to: buffer)
                }, bytes: shard.bytes, to: region
            ) { result in completion(result.map { .device(region) }) }
        } catch {
            completion(.failure(error))
        }
    }
}
