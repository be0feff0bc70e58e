import DeviceMemory
import Storage
import Support

/// Shards in a device's memory. A shard is read into the page cache as for RAM, copied to pinned buffers, and
/// transferred to the device while the next pieces are read.
package struct DeviceMedium: TierMedium {
    let arena: DeviceArena
    package let uploader: Uploader

    package func reserve(bytes: Int) throws -> Reservation { .device(try arena.allocate(bytes: bytes)) }

    package func notify(afterReleases skipped: Int, _ body: @escaping @Sendable () -> Void) {
        arena.notify(afterReleases: skipped, body)
    }

    package func trim() { arena.trim() }

    package var available: Int? { arena.available }

    package func load(
        _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
    ) { load(shard, at: path, into: reservation, work, queued: { _ in }, completion: completion) }

    package func mark() throws(DeviceError) -> DeviceEvent? { try uploader.mark() }

    package func load(
        _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
        queued: @escaping @Sendable (Payload) -> Void,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
    ) {
        guard case .device(let region) = reservation else { fatalError("a reservation of another medium") }
        do {
            let blob = try MappedBlob(
                path: path, digest: shard.digest, bytes: shard.shardBytes, range: shard.range)
            let reader = PieceReader(
                PageReader.Mapped(memory: blob.mapping, digest: shard.digest, blobBytes: shard.shardBytes),
                0..<blob.count)
            _ = try uploader.start(
                .filling { buffer, offset in
                    try work.check()
                    try reader.read(offset..<offset + buffer.count)
                    blob.mapping.copy(from: offset, to: buffer)
                }, bytes: shard.bytes, to: region, queued: { _ in queued(.device(region)) },
                completion: { result in completion(result.map { .device(region) }) })
        } catch {
            completion(.failure(error))
        }
    }
}
