import Files
import Support

/// The page cache under stored bytes, for readers whose own bytes are cached elsewhere.
extension StoredBytes {
    /// A blob of which a read has used some bytes.
    package struct UsedBlob: Sendable {
        package let digest: ContentDigest
        /// The size of the blob, in bytes.
        package let blobBytes: Int
        /// The number of bytes used.
        package let count: Int
        fileprivate let path: String

        /// Removes the blob's pages from the page cache, except those that are mapped.
        package func dropPages() {
            // A blob that was evicted meanwhile has none.
            guard let file = try? FileDescriptor.openIfPresent(path) else { return }
            file.dropPages()
        }
    }

    /// The blobs under a part of the range.
    package func blobs(in part: Range<Int>) -> [UsedBlob] {
        var result: [UsedBlob] = []
        var index = firstRun(at: part.lowerBound)
        while index < runs.count, runs[index].offset < part.upperBound {
            let run = runs[index]
            let used = part.clamped(to: run.offset..<run.offset + run.length)
            result.append(UsedBlob(digest: run.digest, blobBytes: run.blobBytes, count: used.count, path: run.path))
            index += 1
        }
        return result
    }

    /// Starts to read the blobs under the range into the page cache, also outside of it, from its first byte and at most that
    /// many bytes of the file: a blob that was just fetched was written past the cache.
    package func readBlobsAhead(atMost bytes: Int) {
        guard let last = runs.last else { return }
        let end = min(last.offset.adding(saturating: last.length), range.lowerBound.adding(saturating: bytes))
        if range.lowerBound < end { readAhead(range.lowerBound..<end) }
    }

    /// Starts to read a part of the range into the page cache, across the borders of blobs. It waits for the disk's queue,
    /// but not for the bytes.
    package func readAhead(_ part: Range<Int>) {
        var index = firstRun(at: part.lowerBound)
        while index < runs.count, runs[index].offset < part.upperBound {
            let run = runs[index]
            let wanted = part.clamped(to: run.offset..<run.offset + run.length)
            // A blob that cannot be opened is reported by the read.
            if !wanted.isEmpty, let file = try? FileDescriptor.openIfPresent(run.path) {
                let first = run.blobOffset + wanted.lowerBound - run.offset
                file.readAhead(first..<first + wanted.count)
            }
            index += 1
        }
    }
}
