import Dispatch
import Files
import ModelFormats
import Support

/// Fetches shards from a hub: several ranges concurrently, each through one buffer into its shards.
///
/// **Order.** Ranges are requested in file order, by lanes that each process the next range. A range has up to the size of a
/// buffer (4 MiB); on a slow link, and for a reader that waits, it has less (`RangeSize`). A lane
/// acquires its buffer before its range, so the lowest missing range always has a buffer, and ranges that arrive early
/// cannot block it. Shards and files are thus hashed while they are transferred, with no memory beyond the buffers.
///
/// **Durability.** Committed shards are durable, and so is the front of a shard in flight, up to the size of its
/// partial file (`PartialShards`, which defines this for process crashes). Durable bytes are never requested again.
///
/// **Concurrent fetches.** A shard that another fetch, in this process or another, has begun is left to it, and checked
/// at the end. Two fetches of the same bytes share the work, and each byte is transferred once.
final class FetchRun: Sendable {
    /// Concurrent ranges. On a link with a latency of 100 ms, eight ranges of 4 MiB transfer 330 MB/s.
    static let lanes = 8
    static let buffers = 20
    /// The most bytes between the tensors of a file. Only a malformed file, such as a GGUF with holes, has more.
    static let mostOutside = 512 << 20

    private let store: Store
    private let origin: any ModelOrigin
    private let work: Work
    private let onUse: Bool
    private let arrived: ArrivedShard.Receiver?
    private let partials: PartialShards
    private let committer: ShardCommitter
    private let pool = BufferPool(count: FetchRun.buffers)
    private let failure = FirstFailure()
    private let openShards = OpenShardCount()
    private let open = DispatchGroup()
    /// nil while a lane has it.
    private let queue: AwaitedState<FetchQueue?>
    private let rangeSize: RangeSize

    /// - Parameters:
    ///   - onUse: whether something waits for the bytes, to read them.
    ///   - arrived: receives each shard when its bytes have arrived.
    ///   - makeRoom: evicts until the bytes that are about to be committed fit the quota.
    init(
        _ store: Store, _ origin: any ModelOrigin, _ files: [FetchFile], onUse: Bool = false,
        arrived: ArrivedShard.Receiver? = nil, _ work: Work,
        makeRoom: @escaping @Sendable (_ bytes: Int) throws -> Void
    ) throws {
        self.store = store
        self.origin = origin
        self.work = work
        self.onUse = onUse
        self.arrived = arrived
        rangeSize = RangeSize(atMost: BufferPool.bufferBytes, isAwaited: onUse)
        partials = PartialShards(store: store.path)
        let (failure, openShards) = (failure, openShards)
        committer = ShardCommitter(
            catalog: store.catalog, blobs: store.blobs, lease: store.leases.name, staging: try store.stagingDirectory(),
            batch: .each, work: work, makeRoom: makeRoom, released: { openShards.subtract($0) }
        ) { error in
            failure.record(error)
            openShards.stop()
        }
        queue = AwaitedState(FetchQueue(files))
    }

    /// Blocks until all shards are durable, except those that other fetches have begun.
    ///
    /// - Returns: the partial files of shards that other fetches have begun.
    func run() throws -> [String] {
        let threads = try WorkerThreads(count: Self.lanes)
        let lanes = DispatchGroup()
        for _ in 0..<Self.lanes {
            lanes.enter()
            threads.submit {
                self.lane()
                lanes.leave()
            }
        }
        lanes.wait()
        let (unfinished, locked) = queue.change { ($0?.unfinished() ?? [], $0?.locked ?? []) }
        for assembly in unfinished { assembly.abandon(failure.first ?? CancellationError()) }
        open.wait()
        committer.flush()
        if let error = failure.first { throw error }
        return locked
    }

    private func lane() {
        while failure.first == nil {
            let buffer = pool.acquire()
            // Held until the failure is recorded. Pieces that wait for the range of a failed lane keep their buffers,
            // so the lanes that wait for a buffer acquire this one, one after another, and end.
            defer { withExtendedLifetime(buffer) {} }
            guard failure.first == nil else { return }
            do {
                let size = rangeSize.bytes
                guard let job = try nextJob(atMost: size) else { return }
                let start = ContinuousClock.now
                try process(job, buffer)
                rangeSize.adapt(
                    to: ContinuousClock.now - start, requestedAt: size,
                    isFull: job.length == size && job.offset >= job.file.prefix.count)
            } catch {
                failure.record(error)
                return openShards.stop()
            }
        }
    }

    /// The next range; nil if there is none, or the fetch has failed.
    ///
    /// The lane has the queue meanwhile, and holds no lock: a shard may begin with a wait for others, and with a read of
    /// its partial file.
    private func nextJob(atMost size: Int) throws -> FetchJob? {
        var own = Optional(try queue.wait(work) { $0.take() } as FetchQueue)
        // Swapped, not assigned: a second reference would make the next lane copy the queue.
        defer { queue.change { swap(&$0, &own) } }
        guard failure.first == nil else { return nil }
        return try own?.next(atMost: size, open: begin)
    }

    private func process(_ job: FetchJob, _ buffer: Buffer) throws {
        let prefix = job.file.prefix
        let known = min(max(prefix.count - job.offset, 0), job.length)
        if known > 0 { Self.copy(prefix[job.offset..<job.offset + known], to: buffer) }
        if known < job.length {
            var meter = RequestMeter()
            do {
                try origin.read(
                    job.file.remote, at: job.offset + known,
                    into: buffer.writableBytes(at: known, job.length - known), work)
            } catch {
                store.noteFailure(error, of: origin.url)
                throw error
            }
            meter.add(bytes: job.length - known)
            store.catalog.activity.add(meter.values(origin: origin.url))
        }
        job.file.hash?.add(buffer, job.length, at: job.offset)
        for piece in job.pieces {
            piece.assembly.add(buffer, piece.range, at: piece.shardOffset, isInOrder: piece.isInOrder)
        }
    }

    /// Not inlined, because of a compiler bug: see `MemorySource`.
    @inline(never)
    private static func copy(_ bytes: ArraySlice<UInt8>, to buffer: Buffer) {
        bytes.withUnsafeBytes { buffer.writableBytes($0.count).copyMemory(from: $0) }
    }

    /// Opens a shard's partial file, unless another fetch has it or the shard is present. Waits while many shards are open.
    /// Shards are begun by one lane at a time: the one that has the queue.
    private func begin(_ file: FetchFile, _ ordinal: Int, _ places: [ShardPlan.Place]) throws -> FetchQueue.Begin {
        let shard = file.plan.shards[ordinal]
        let offset = places[0].offset
        guard shard.kind != .file || places.count == 1 || shard.bytes <= Self.mostOutside else {
            throw FetchError.malformed(
                url: file.remote.name, expected: "at most \(Self.mostOutside) bytes outside of its tensors",
                found: "\(shard.bytes) bytes in several places")
        }
        try openShards.wait(untilAtMost: FetchQueue.mostOpen, work)
        if let error = failure.first { throw error }
        let path = partials.path(of: file.key, at: offset)
        guard let staged = try partials.open(path) else { return .locked(path) }
        if let id = file.id, try store.catalog.read({ db in try ExtentTable.contains(id, offset: offset, db) }) {
            try FileSystem.remove(staged.path)
            return .present
        }
        let writer = try ShardWriter(bytes: shard.bytes, resuming: staged, isReadNext: onUse)
        open.enter()
        openShards.add()
        let arrived = arrived.map { arrived in
            { arrived(ArrivedShard(file: file, ordinal: ordinal, facts: $0, staged: $1)) } as ShardPipeline.Arrived
        }
        let assembly = ShardAssembly(shard, writer, places, arrived: arrived) {
            [committer, failure, openShards, open] result in
            switch result {
            case .success(let (facts, staged)):
                committer.add(.init(file: file, ordinal: ordinal, facts: facts, staged: staged))
            case .failure(let error):
                failure.record(error)
                openShards.subtract(1)
                openShards.stop()
            }
            open.leave()
        }
        work.skip(assembly.have)
        return .acquired(assembly)
    }
}
