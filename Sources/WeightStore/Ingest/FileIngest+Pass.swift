import Crypto
import Files
import ModelFormats
import Storage
import Support

/// The pass over a file: each shard streams through a `ShardPipeline`, is put together by a `ShardJoin`, or is one of a
/// `SmallShardRun`.
extension FileIngest {
    /// Reads all of the file.
    func read(_ source: FileSource, _ plan: ShardPlan) throws {
        var fileHasher = SHA256()
        var gitHasher: GitHasher?
        if case .git = blob { gitHasher = GitHasher(bytes: source.count) }
        let scattered = plan.scatteredShards(run.passLimits)
        var joins: [Int: ShardJoin] = [:]
        let passed = PassedShards()
        /// The memory of shards that are not complete, in bytes.
        var joining = 0
        /// The memory of complete shards that may not be written yet, in bytes.
        var joined = 0
        func read(_ offset: Int, _ room: UnsafeMutableRawBufferPointer) throws {
            try run.check()
            try source.read(at: offset, into: room)
            fileHasher.update(bufferPointer: UnsafeRawBufferPointer(room))
            gitHasher?.update(UnsafeRawBufferPointer(room))
            run.work.advance(room.count)
        }
        do {
            var next = 0
            while next < plan.extents.count {
                if let small = SmallShardRun(plan, from: next) {
                    try readSmall(small, plan, read)
                    next = small.extents.upperBound
                    continue
                }
                let (index, extent) = (next, plan.extents[next])
                let ordinal = extent.shard
                next += 1
                let offset = plan.offset(of: index)
                if plan.extentCount(of: ordinal) == 1 {
                    try readInOnePlace(ordinal, plan.shards[ordinal], offset, extent.length, read)
                } else if scattered.contains(ordinal) {
                    try forEachChunk(offset, extent.length, read)
                } else {
                    var join =
                        joins.removeValue(forKey: ordinal)
                        ?? ShardJoin(plan.shards[ordinal], plan.places(of: ordinal))
                    let needed = join.memoryNeeded(for: extent)
                    if needed > 0, joined > 0, joining + joined + needed > run.gatherBytes {
                        // Complete shards free their memory once they are written.
                        passed.wait()
                        joined = 0
                    }
                    do {
                        try join.add(extent, at: offset, run.pool, read: read) {
                            try stream(ordinal, plan.shards[ordinal]) { passed.end(ordinal) }
                        } willComplete: {
                            passed.add(ordinal)
                        }
                    } catch {
                        join.abandon(error)
                        throw error
                    }
                    joining += needed
                    if join.isComplete {
                        joining -= join.memory
                        joined += join.memory
                    } else {
                        joins[ordinal] = join
                    }
                }
            }
            for ordinal in scattered.sorted() { try readAlone(ordinal, source, plan, trusting: true) }
        } catch {
            for join in joins.values { join.abandon(error) }
            throw error
        }
        digest = ContentDigest(fileHasher.finalize())
        gitDigest = gitHasher?.finish()
    }

    /// Reads a shard that lies in one place.
    private func readInOnePlace(
        _ ordinal: Int, _ shard: ShardPlan.Shard, _ offset: Int, _ length: Int,
        _ read: (Int, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        let stream = try stream(ordinal, shard)
        do {
            try forEachChunk(offset, length, read) { buffer, count in stream.append(buffer, 0..<count) }
        } catch {
            stream.abandon(error)
            throw error
        }
    }

    /// Reads small shards, and hashes and writes each on this thread: to pass one to the queues of a `ShardPipeline`
    /// costs more than to hash it. Those that the store holds are looked up and checked together.
    private func readSmall(
        _ small: SmallShardRun, _ plan: ShardPlan, _ read: (Int, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        let buffer = run.pool.acquire()
        defer { withExtendedLifetime(buffer) {} }
        try read(small.offset, buffer.writableBytes(small.bytes))
        var offset = 0
        let shards = plan.extents[small.extents].map { extent in
            defer { offset += extent.length }
            let bytes = UnsafeRawBufferPointer(buffer.writableBytes(at: offset, extent.length))
            return (ordinal: extent.shard, bytes: bytes, facts: Self.facts(plan.shards[extent.shard], bytes))
        }
        let held = try run.held(shards.map(\.facts))
        for shard in shards {
            try run.beginShard()
            open.enter()
            let staged = Result { try held.contains(shard.facts.digest) ? nil : writeSmall(shard.bytes) }
            end(shard.ordinal, staged.map { (facts: shard.facts, staged: $0) })
        }
    }

    private static func facts(_ shard: ShardPlan.Shard, _ bytes: UnsafeRawBufferPointer) -> ShardFacts {
        let digest = ContentDigest(of: bytes)
        // All bytes of a small shard are its head.
        return ShardFacts(
            digest: digest, bytes: bytes.count, kind: ShardKind(shard.kind), layer: shard.layer, head: digest.head)
    }

    private func writeSmall(_ bytes: UnsafeRawBufferPointer) throws -> StagedFile {
        let staged = try run.stage()
        try staged.write(bytes, at: 0)
        try staged.seal()
        return staged
    }

    /// Reads the bytes of one shard in a pass of its own.
    ///
    /// - Parameter trusting: whether a shard with the size and head of a stored one is only hashed and compared.
    func readAlone(_ ordinal: Int, _ source: FileSource, _ plan: ShardPlan, trusting: Bool) throws {
        let shard = plan.shards[ordinal]
        let stream = try stream(ordinal, shard, trusting: trusting)
        do {
            let pieces = plan.places(of: ordinal).map { place in
                (file: place.offset, shard: place.extent.shardOffset, length: place.extent.length)
            }
            var next = 0
            var done = 0
            while done < shard.bytes {
                let buffer = run.pool.acquire()
                let count = min(buffer.capacity, shard.bytes - done)
                buffer.writableBytes(count).initializeMemory(as: UInt8.self, repeating: 0)
                var index = next
                while index < pieces.count, pieces[index].shard < done + count {
                    let piece = pieces[index]
                    let begin = max(piece.shard, done)
                    let end = min(piece.shard + piece.length, done + count)
                    try source.read(
                        at: piece.file + begin - piece.shard, into: buffer.writableBytes(at: begin - done, end - begin))
                    if end == piece.shard + piece.length { next = index + 1 }
                    index += 1
                }
                try run.check()
                stream.append(buffer, 0..<count)
                done += count
            }
        } catch {
            stream.abandon(error)
            throw error
        }
    }

    func forEachChunk(
        _ offset: Int, _ length: Int, _ read: (Int, UnsafeMutableRawBufferPointer) throws -> Void,
        _ body: (Buffer, Int) -> Void = { _, _ in }
    ) throws {
        var done = 0
        while done < length {
            let buffer = run.pool.acquire()
            let count = min(buffer.capacity, length - done)
            try read(offset + done, buffer.writableBytes(count))
            body(buffer, count)
            done += count
        }
    }

    private func stream(
        _ ordinal: Int, _ shard: ShardPlan.Shard, trusting: Bool = true, then: @escaping @Sendable () -> Void = {}
    ) throws -> ShardPipeline {
        try run.beginShard()
        open.enter()
        return ShardPipeline(shard, ShardWriter(bytes: shard.bytes)) { [run] head in
            let isKnown = try trusting && run.holds(bytes: shard.bytes, head: head)
            return isKnown ? nil : try run.stage()
        } finished: { [self] result in
            end(ordinal, result, then: then)
        }
    }

    /// Passes a shard that was begun to the committer, or ends the run if it has failed.
    private func end(
        _ ordinal: Int, _ result: Result<(facts: ShardFacts, staged: StagedFile?), any Error>, then: () -> Void = {}
    ) {
        switch result {
        case .success(let (facts, staged)):
            run.committer.add(.init(file: self, ordinal: ordinal, facts: facts, staged: staged))
        case .failure(let error):
            run.endShard()
            run.fail(error)
        }
        then()
        open.leave()
    }
}
