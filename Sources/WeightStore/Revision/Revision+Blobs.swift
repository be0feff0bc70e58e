import Files
import Storage
import Support

extension Revision {
    /// The path of the blob that has a tensor's bytes; nil if the tensor has no bytes, or they were never fetched. The blob
    /// may be evicted.
    package func blobPath(of entry: TensorEntry) -> String? { entry.shard.map { store.blobPath($0) } }

    /// Opens the blob that has a tensor's bytes, counted as an access. Fetches it if the store lacks it. Blocks.
    ///
    /// - Parameters:
    ///   - entry: a tensor of the revision, or an expert of one that stacks them.
    ///   - work: cancelling it ends the fetch with `CancellationError`.
    /// - Returns: the tensor, with its place in the blob, and a descriptor that the caller closes.
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` for a tensor of zero bytes,
    ///   ``StorageError/notFound(kind:name:detail:)``, ``StorageError/missing(path:digest:)``, ``FetchError``.
    package func openBlob(of entry: TensorEntry, work: Work? = nil) throws -> (entry: TensorEntry, descriptor: Int32) {
        guard entry.bytes > 0 else {
            throw StorageError.invalid(what: "tensor to open", value: entry.name, reason: "has no bytes")
        }
        let work = missWork(within: work)
        var place = try placement(of: entry)
        if place.isPending {
            try fetch(FetchSelection([place.entry]), work)
            place = try placement(of: entry)
        }
        guard let shard = place.shard, let digest = place.entry.shard else {
            throw StorageError.notFound(
                kind: "tensor", name: "\(name) \(entry.name)", detail: "Its bytes were never fetched.")
        }
        let descriptor = try store.open(digest, bytes: place.shardBytes, state: place.state, work)
        store.accesses.shards([shard])
        // An expert has its own place in the shard.
        return (entry.shard == nil ? place.entry : entry, descriptor)
    }

    private func placement(of entry: TensorEntry) throws -> TensorPlacement {
        let place = try places(named: entry.name).first { ByteText($0.entry.file) == ByteText(entry.file) }
        guard let place else {
            throw StorageError.notFound(kind: "tensor", name: "\(name) \(entry.name)")
        }
        return place
    }
}
