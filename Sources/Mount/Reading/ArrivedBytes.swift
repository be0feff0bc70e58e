import Synchronization
import WeightStore

/// The bytes of a shard that has arrived, and is being stored.
final class ArrivedBytes: Sendable {
    let bytes: StoredBytes
    /// What was read of them; nil once they are stored. Until then, the pages of a blob cannot be dropped.
    private let used = Mutex<[StoredBytes.UsedBlob]?>([])

    init(_ bytes: StoredBytes) { self.bytes = bytes }

    /// Fills a buffer.
    ///
    /// - Returns: what was read, if it is to be noted now.
    func read(_ range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws -> [StoredBytes.UsedBlob] {
        _ = try bytes.read(at: range.lowerBound, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<range.count]))
        let blobs = bytes.blobs(in: range)
        return used.withLock { used in
            guard used != nil else { return blobs }
            used? += blobs
            return []
        }
    }

    /// Ends the time in which the bytes are being stored.
    ///
    /// - Returns: what was read until now.
    func retire() -> [StoredBytes.UsedBlob] {
        used.withLock { used in
            defer { used = nil }
            return used ?? []
        }
    }
}
