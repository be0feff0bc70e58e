import Dispatch
import Files
import Storage
import Support
import Synchronization

/// A lease on tensors in the RAM tier for a consumer that may write: each tensor is in memory of its own.
///
/// The blobs are mapped copy-on-write: a page is shared with the page cache until it is written. The tier's own, shared
/// mapping is not made, so that no byte is mapped twice. Tensors that are neighbours in a shard are parts of one mapping
/// (`PrivateRun`), and those with equal bytes are separate memory.
package final class PrivateLease: Sendable {
    package let lease: Lease
    /// The memory of each tensor of the lease; nil for a tensor of zero bytes.
    package let memory: [PrivateMapping?]

    package init(_ lease: Lease, _ memory: [PrivateMapping?]) {
        self.lease = lease
        self.memory = memory
    }

    /// A separate lease on one of the tensors, by its index: it shares the tensor's memory.
    package func share(_ index: Int) -> PrivateLease {
        PrivateLease(lease.share(lease.tensors[index]), [memory[index]])
    }

    /// The same for tensors that share one memory, so that a lease on one of them keeps the bytes of all; nil for a tensor of zero
    /// bytes.
    package func memory(of index: Int) -> ObjectIdentifier? { memory[index]?.memory }

    /// Reads a range of a tensor's bytes, of a lease that has not read them. Blocks.
    ///
    /// - Parameters:
    ///   - index: the tensor's index.
    ///   - range: must lie in the tensor.
    /// - Throws: ``StorageError/damaged(path:digest:expected:found:)``, `CancellationError`.
    package func read(_ index: Int, _ range: Range<Int>, _ work: Work?) throws {
        let tensor = lease.tensors[index]
        precondition(0 <= range.lowerBound && range.upperBound <= tensor.entry.bytes, "\(range): not in the tensor")
        guard let memory = memory[index], let shard = tensor.shard else { return }
        if range.count <= Self.smallBytes { return try memory.read(range, of: shard) }
        let reading = Reading(work ?? Work())
        lease.group.tier.pageReader.read(
            PageReader.Mapped(memory: memory, digest: shard.digest, blobBytes: shard.shardBytes), range, reading.work
        ) { reading.end($0) }
        try reading.wait()
    }
}

extension PrivateLease {
    /// The bytes up to which tensors are read on the calling thread, even if its work has ended: as fast as a hit.
    fileprivate static let smallBytes = 1 << 20
}

extension PrivateMapping {
    /// Reads bytes into memory, on the calling thread.
    fileprivate func read(_ range: Range<Int>, of shard: ResidentShard) throws {
        try readBlob(shard.digest, bytes: shard.shardBytes) { () throws(FileError) in try populate(range) }
    }
}

extension ShardGroup {
    /// Leases the tensors for a consumer that may write. Blocks.
    ///
    /// - Parameters:
    ///   - reads: whether the bytes are read now. Otherwise the consumer reads them by accessing them, and an unreadable
    ///     page raises SIGBUS.
    ///   - work: cancelling it ends the call with `CancellationError`.
    package func leasePrivately(reads: Bool = true, _ work: Work? = nil) throws -> PrivateLease {
        let isSmall = !reads || bytes <= PrivateLease.smallBytes
        if !isSmall { try work?.check() }
        let lease = try unmapped().leaseBlocking(work)
        let memory =
            try isSmall
            ? tier.privateMemory(of: lease.tensors, reads: reads)
            : tier.privateMemory(of: lease.tensors, work ?? Work())
        return PrivateLease(lease, memory)
    }
}

extension Lease {
    /// Memory for a tensor that can be written, whose bytes are read when they are accessed.
    ///
    /// - Returns: nil for a tensor of zero bytes.
    /// - Throws: ``StorageError/missing(path:digest:)``, ``StorageError/damaged(path:digest:expected:found:)``.
    package func privateMemory(of tensor: LeasedTensor) throws -> PrivateMapping? {
        try group.tier.privateMapping(of: tensor)
    }
}

extension MemoryTier {
    /// Traps if the tier is not in RAM.
    fileprivate var pageReader: PageReader {
        guard let reader else { preconditionFailure("\(tier): its shards cannot be mapped") }
        return reader
    }

    fileprivate func privateMapping(of tensor: LeasedTensor) throws -> PrivateMapping? {
        guard let shard = tensor.shard, tensor.entry.bytes > 0 else { return nil }
        let start = tensor.entry.shardOffset
        return try privateMapping(of: start..<start + tensor.entry.bytes, in: shard)
    }

    private func privateMapping(of range: Range<Int>, in shard: ResidentShard) throws -> PrivateMapping {
        try PrivateMapping(path: path(shard.digest), digest: shard.digest, bytes: shard.shardBytes, range: range)
    }

    /// Maps tensors.
    ///
    /// - Parameter reads: whether their bytes are read, on the calling thread.
    fileprivate func privateMemory(of tensors: [LeasedTensor], reads: Bool) throws -> [PrivateMapping?] {
        var memory = [PrivateMapping?](repeating: nil, count: tensors.count)
        for run in PrivateRun.all(tensors) {
            let mapped = try privateMapping(of: run.range, in: run.shard)
            if reads { try mapped.read(0..<mapped.count, of: run.shard) }
            for (index, part) in run.mapped(mapped) { memory[index] = part }
        }
        return memory
    }

    /// Maps tensors, and reads their bytes with the tier's threads. Blocks.
    fileprivate func privateMemory(of tensors: [LeasedTensor], _ work: Work) throws -> [PrivateMapping?] {
        let reader = pageReader
        let reading = Reading(work)
        let memory = Shared(Mutex([PrivateMapping?](repeating: nil, count: tensors.count)))
        for batch in Self.batches(of: PrivateRun.all(tensors)) {
            reading.begin()
            reader.threads.submit { [self] in
                do {
                    for run in batch {
                        try work.check()
                        if reading.hasFailed { break }
                        let mapped = try privateMapping(of: run.range, in: run.shard)
                        let parts = run.mapped(mapped)
                        memory.value.withLock { memory in
                            for (index, part) in parts { memory[index] = part }
                        }
                        reading.begin()
                        let blob = PageReader.Mapped(
                            memory: mapped, digest: run.shard.digest, blobBytes: run.shard.shardBytes)
                        reader.read(blob, 0..<mapped.count, work) { reading.end($0) }
                    }
                    reading.end(nil)
                } catch {
                    reading.end(error)
                }
            }
        }
        reading.end(nil)
        try reading.wait()
        return memory.value.withLock { $0 }
    }

    /// A thread maps several small runs at once.
    private static func batches(of runs: [PrivateRun]) -> [ArraySlice<PrivateRun>] {
        var batches: [ArraySlice<PrivateRun>] = []
        var (start, bytes) = (0, 0)
        for index in runs.indices {
            bytes.add(saturating: runs[index].range.count)
            guard bytes >= PageReader.pieceBytes || index - start >= 63 else { continue }
            batches.append(runs[start...index])
            (start, bytes) = (index + 1, 0)
        }
        if start < runs.count { batches.append(runs[start...]) }
        return batches
    }
}

/// Counts parts of a work on other threads, and waits for the last of them.
private final class Reading: Sendable {
    let work: Work
    private let failure = FirstFailure()
    private let left = Atomic<Int>(1)
    private let ended = DispatchSemaphore(value: 0)

    /// With one part, which the caller ends.
    init(_ work: Work) { self.work = work }

    var hasFailed: Bool { failure.first != nil }

    func begin() { left.add(1, ordering: .relaxed) }

    func end(_ error: (any Error)?) {
        if let error { failure.record(error) }
        if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { ended.signal() }
    }

    func wait() throws {
        ended.wait()
        if let error = failure.first { throw error }
    }
}
