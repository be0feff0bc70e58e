import Files
import Storage
import Support
import Synchronization

/// The shards that are in memory because neither the quota nor the disk has room for them, while they are read.
final class PassedThrough: Sendable {
    private struct Passing {
        weak var memory: MemoryFile?
    }

    /// The share of the available memory that one shard may use.
    private static let share = 2

    private let shards = Mutex<[ContentDigest: Passing]>([:])

    /// A shard that is being read.
    func find(_ digest: ContentDigest) -> MemoryFile? { shards.withLock { $0[digest]?.memory } }

    /// Memory for bytes that cannot be stored.
    ///
    /// - Throws: `refusal` if they would use more than half of the available memory.
    func reserve(_ bytes: Int, because refusal: any Error) throws -> MemoryFile {
        guard bytes <= (SystemMemory.available() ?? .max) / Self.share else { throw refusal }
        return try MemoryFile(bytes: bytes)
    }

    /// Lets other readers share a shard until the last of them ends.
    func add(_ memory: MemoryFile, _ digest: ContentDigest) {
        shards.withLock { shards in
            shards = shards.filter { $0.value.memory != nil }
            shards[digest] = Passing(memory: memory)
        }
    }
}

extension Store {
    /// Whether an error says that bytes were not stored because there is no space for them.
    static func isOutOfSpace(_ error: any Error) -> Bool {
        switch error {
        case StoreError.quotaFull, FileError.diskFull: true
        default: false
        }
    }

    /// Warns once: a model that does not fit is read shard by shard.
    func warnOfPassing(_ refusal: any Error) {
        guard !background.hasWarned.exchange(true, ordering: .relaxed) else { return }
        logger.warning("bytes are read from their origin and not stored: \(refusal)")
    }
}
