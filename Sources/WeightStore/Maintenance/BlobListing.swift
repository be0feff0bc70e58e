import Files
import Storage
import Support
import Synchronization

/// The blobs of a store and their sizes, as a rebuild finds them: 56 bytes of memory for each shard.
///
/// All sizes are read first, directory by directory, because that reads each block of the disk once. The shards of a
/// model are in all directories.
struct BlobListing {
    /// Manifests, with their sizes in bytes.
    private(set) var manifests: [(digest: ContentDigest, bytes: Int)] = []
    private(set) var records: [BlobDirectory.Name] = []
    /// The shards by the first byte of their digests.
    private var directories: [Shards] = []

    /// The shards of a directory, sorted by digest.
    private struct Shards {
        var digests: [ContentDigest] = []
        var sizes: [Int] = []
        var rows: [Row] = []
    }

    /// The row of a shard that has a blob.
    enum Row: Equatable {
        /// None.
        case none
        /// Its id. The blob has the size that the row says.
        case whole(Int64)
        /// The blob has another size.
        case otherSize
    }

    /// The place of a shard in the listing.
    struct Place {
        fileprivate let directory: Int
        fileprivate let index: Int
    }

    /// - Parameter work: counts directories, 256 in all.
    /// - Throws: ``FileError`` if a directory or the status of a file cannot be read; `CancellationError`.
    init(_ blobs: BlobDirectory, _ work: Work) throws {
        work.expect(BlobDirectory.fanOut.count)
        let found = Shared(Mutex([[(name: BlobDirectory.Name, bytes: Int)]](repeating: [], count: 256)))
        try ParallelWork.run(Array(BlobDirectory.fanOut.enumerated())) { index, directory in
            try work.check()
            let sizes = try blobs.sizes(directory).sorted { $0.name.digest < $1.name.digest }
            found.value.withLock { $0[index] = sizes }
            work.advance(1)
        }
        for index in BlobDirectory.fanOut.indices {
            // Released one by one: together they are larger than the listing.
            let all = found.value.withLock { found in
                defer { found[index] = [] }
                return found[index]
            }
            var shards = Shards()
            for (name, bytes) in all {
                switch name.kind {
                case .record: records.append(name)
                case .manifest: manifests.append((name.digest, bytes))
                case .shard:
                    shards.digests.append(name.digest)
                    shards.sizes.append(bytes)
                }
            }
            shards.rows = [Row](repeating: .none, count: shards.digests.count)
            directories.append(shards)
        }
    }

    /// Whether there are shards or manifests.
    var hasContents: Bool { !manifests.isEmpty || directories.contains { !$0.digests.isEmpty } }

    /// - Returns: nil if the shard has no blob.
    func find(_ digest: ContentDigest) -> Place? {
        let digests = directories[digest.firstByte].digests
        var (low, high) = (0, digests.count)
        while low < high {
            let middle = (low + high) / 2
            if digests[middle] < digest { low = middle + 1 } else { high = middle }
        }
        guard low < digests.count, digests[low] == digest else { return nil }
        return Place(directory: digest.firstByte, index: low)
    }

    /// The size of a shard's blob, in bytes.
    func bytes(_ place: Place) -> Int { directories[place.directory].sizes[place.index] }

    /// The row of a shard.
    func row(_ place: Place) -> Row { directories[place.directory].rows[place.index] }

    /// Notes the row of a shard.
    mutating func setRow(_ row: Row, _ place: Place) { directories[place.directory].rows[place.index] = row }

    /// The blobs without a row: their number, and their size in bytes.
    ///
    /// - Parameter restored: the manifests of all revisions.
    func unreferenced(restored: Set<ContentDigest>) -> (blobs: Int, bytes: Int) {
        var result = (blobs: 0, bytes: 0)
        for shards in directories {
            for index in shards.rows.indices where shards.rows[index] == .none {
                result.blobs += 1
                result.bytes.add(saturating: shards.sizes[index])
            }
        }
        for manifest in manifests where !restored.contains(manifest.digest) {
            result.blobs += 1
            result.bytes.add(saturating: manifest.bytes)
        }
        return result
    }
}
