import Foundation
import Origins
import Synchronization
import WeightStore

/// Uploads shards to a bucket, several at a time; large shards in parts that are sent in parallel.
///
/// An uploaded part is never sent again: the service keeps the parts of an interrupted upload, and the next push, from
/// any machine, resumes it. (The push finds the upload in a listing. If it is not listed yet, a new upload is started.)
final class ShardUploader: Sendable {
    private let bucket: S3Bucket
    private let store: Store
    private let partBytes: Int
    private let work: Work
    private let alive: @Sendable () throws -> Void

    /// The service's limit of parts per upload.
    private static let mostParts = 10_000

    /// - Parameter alive: called often during an upload.
    init(
        bucket: S3Bucket, store: Store, partBytes: Int, work: Work, alive: @escaping @Sendable () throws -> Void
    ) {
        self.bucket = bucket
        self.store = store
        self.partBytes = partBytes
        self.work = work
        self.alive = alive
    }

    /// The shards that the bucket lacks, or has in another size.
    ///
    /// - Parameter deep: also those whose bytes have another digest; reads all shards.
    func missing(_ shards: [ContentDigest: Int], deep: Bool = false) throws -> [ContentDigest: Int] {
        let missing = Mutex<[ContentDigest: Int]>([:])
        let shared = Shared(missing)
        try ParallelWork.run(shards.sorted { $0.key < $1.key }) { [bucket, work, alive] shard in
            try work.check()
            try alive()
            // An object of another size is not a complete shard.
            var isWhole = try bucket.metadata(of: S3Origin.shard(shard.key))?.bytes == shard.value
            if isWhole, deep {
                isWhole =
                    try S3Origin(bucket).storedDigest(of: shard.key, bytes: shard.value, work) == shard.key
            }
            if !isWhole { shared.value.withLock { $0[shard.key] = shard.value } }
        }
        return shared.value.withLock { $0 }
    }

    /// Uploads shards. Blocks until all of them are in the bucket.
    func upload(_ shards: [ContentDigest: Int]) throws {
        work.expect(shards.values.reduce(0, +))
        let sorted = shards.sorted { $0.key < $1.key }
        let large = Shared(Mutex<[LargeShard]>([]))
        try ParallelWork.run(sorted) { [self] shard in
            if shard.value > 2 * partBytes {
                let begun = try begin(shard.key, shard.value)
                large.value.withLock { $0.append(begun) }
            } else {
                try bucket.put(S3Origin.shard(shard.key), try bytes(shard.key, 0..<shard.value))
                sent(shard.value)
            }
            try check()
        }
        let begun = large.value.withLock { $0 }
        try ParallelWork.run(begun.flatMap { shard in shard.parts.map { (shard, $0) } }) { [self] shard, part in
            let bytes = try bytes(shard.digest, part.range)
            let known = shard.tags.withLock { $0[part.number] }
            if let known, known == S3Bucket.tag(of: bytes) {
                work.skip(part.range.count)
            } else {
                let tag = try bucket.put(bytes, part: part.number, of: shard.upload)
                shard.tags.withLock { $0[part.number] = tag }
                sent(part.range.count)
            }
            try check()
        }
        try ParallelWork.run(begun) { [self] shard in
            do {
                try bucket.complete(shard.upload, shard.tags.withLock { $0 })
            } catch FetchError.notFound {
                // Another push resumed the same upload, and completed it first.
            }
            guard try bucket.metadata(of: S3Origin.shard(shard.digest))?.bytes == shard.bytes else {
                throw FetchError.malformed(
                    url: "\(bucket.url) \(S3Origin.shard(shard.digest))",
                    expected: "\(shard.bytes) bytes after the upload", found: "another size")
            }
        }
    }

    private final class LargeShard: Sendable {
        let digest: ContentDigest
        let bytes: Int
        let upload: S3Bucket.Upload
        let parts: [(number: Int, range: Range<Int>)]
        /// The tags of the uploaded parts, by number.
        let tags: Mutex<[Int: String]>

        init(digest: ContentDigest, bytes: Int, partBytes: Int, upload: S3Bucket.Upload, tags: [Int: String]) {
            self.digest = digest
            self.bytes = bytes
            self.upload = upload
            parts = stride(from: 0, to: bytes, by: partBytes).enumerated().map { index, start in
                (index + 1, start..<min(start + partBytes, bytes))
            }
            self.tags = Mutex(tags.filter { [count = parts.count] in $0.key <= count })
        }
    }

    private func begin(_ digest: ContentDigest, _ bytes: Int) throws -> LargeShard {
        let name = S3Origin.shard(digest)
        let size = max(partBytes, (bytes + Self.mostParts - 1) / Self.mostParts)
        for upload in try bucket.uploads(name) where upload.name == name {
            do {
                let tags = try bucket.parts(of: upload)
                return LargeShard(digest: digest, bytes: bytes, partBytes: size, upload: upload, tags: tags)
            } catch FetchError.notFound {
                // The upload has ended since it was listed.
            }
        }
        return LargeShard(digest: digest, bytes: bytes, partBytes: size, upload: try bucket.begin(name), tags: [:])
    }

    private func bytes(_ digest: ContentDigest, _ range: Range<Int>) throws -> [UInt8] {
        if let stored = try store.shard(digest) { return try stored.bytes(in: range) }
        // Evicted: fetch it from its origin.
        try store.refetch(digest, work: work)
        guard let stored = try store.shard(digest) else {
            throw StorageError.missing(path: store.blobPath(digest), digest: digest)
        }
        return try stored.bytes(in: range)
    }

    private func sent(_ bytes: Int) { work.advance(bytes) }

    private func check() throws {
        try work.check()
        try alive()
    }
}
