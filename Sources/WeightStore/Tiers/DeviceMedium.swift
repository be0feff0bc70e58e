import DeviceMemory

/// Shards in a device's memory: read from the disk (or the page cache) into pinned buffers, and copied from there while
/// the next are being read.
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
            guard let file = try FileDescriptor.openIfThere(path) else {
                throw StoreError.missing(path: path, digest: shard.digest)
            }
            let blob = OpenBlob(file: file)
            let found = try blob.file.status().bytes
            guard found == shard.bytes else {
                throw StoreError.damaged(
                    path: path, digest: shard.digest, expected: "\(shard.bytes) bytes", found: "\(found) bytes")
            }
            _ = try uploader.start(
                .filling { buffer, offset in
                    if isCancelled() { throw CancellationError() }
                    guard try blob.file.read(at: offset, into: buffer) == buffer.count else {
                        throw StoreError.damaged(
                            path: path, digest: shard.digest, expected: "\(shard.bytes) bytes", found: "fewer")
                    }
                }, bytes: shard.bytes, to: region
            ) { result in completion(result.map { .device(region) }) }
        } catch {
            completion(.failure(error))
        }
    }
}

/// A descriptor that several threads read from.
private final class OpenBlob: Sendable {
    let file: FileDescriptor
    init(file: consuming FileDescriptor) { self.file = file }
}
