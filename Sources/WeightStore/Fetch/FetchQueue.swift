/// A range of a file that is fetched with one request, and the shards that its bytes belong to.
struct FetchJob {
    struct Piece {
        let assembly: ShardAssembly
        /// The place of the piece in the job's buffer.
        let range: Range<Int>
        let shardOffset: Int
    }

    let file: FetchFile
    let offset: Int
    var length: Int
    var pieces: [Piece]
}

/// The ranges that are still to be fetched. They are made one at a time, so that only shards in flight have open files.
struct FetchQueue {
    enum Begin {
        /// This fetch transfers the shard.
        case here(ShardAssembly)
        /// Another fetch transfers the shard, and holds the lock of this partial file.
        case elsewhere(String)
        /// The shard was fetched meanwhile.
        case present
    }

    typealias Open = (_ file: FetchFile, _ ordinal: Int, _ offset: Int, _ payload: Int, _ isGathered: Bool) throws ->
        Begin

    private let files: [FetchFile]
    private var file = -1
    private var extent = 0
    /// Where the extent begins in the file.
    private var offset = 0
    /// How many of its bytes are in jobs already.
    private var done = 0
    private var counts: [Int] = []
    private var payloads: [Int] = []
    private var begun: [Int: Begin] = [:]
    /// All shards that this fetch has begun.
    private var assemblies: [ShardAssembly] = []
    /// The partial files of shards that other fetches transfer.
    private(set) var elsewhere: [String] = []

    init(_ files: [FetchFile]) { self.files = files }

    /// The shards that may lack bytes after an error or a cancellation.
    func unfinished() -> [ShardAssembly] { assemblies }

    /// The next range to fetch.
    ///
    /// - Parameters:
    ///   - limit: the maximal size of the range in bytes.
    ///   - open: begins a shard.
    /// - Returns: nil if there is none.
    mutating func next(atMost limit: Int, open: Open) throws -> FetchJob? {
        var job: FetchJob?
        while true {
            guard file >= 0, extent < files[file].plan.extents.count else {
                if let job { return job }
                file += 1
                guard file < files.count else {
                    file = files.count - 1
                    return nil
                }
                beginFile()
                continue
            }
            let run = files[file].plan.extents[extent]
            guard files[file].wanted.contains(run.shard), case .here(let assembly) = try begin(run.shard, open) else {
                if let job { return job }
                files[file].hash?.giveUp()
                skip(run.length)
                continue
            }
            let isGathered = counts[run.shard] > 1
            if !isGathered && done < assembly.have {
                if let job { return job }
                files[file].hash?.giveUp()
                done = assembly.have
            }
            if isGathered && assembly.have > 0 {
                if let job { return job }
                files[file].hash?.giveUp()
                skip(run.length)
                continue
            }
            guard done < run.length else {
                skip(run.length)
                continue
            }
            let space = limit - (job?.length ?? 0)
            // A streamed shard begins at the front of a buffer, which keeps its writes aligned.
            if job != nil, !isGathered || space < run.length - done { return job }
            let length = min(run.length - done, space)
            var next = job ?? FetchJob(file: files[file], offset: offset + done, length: 0, pieces: [])
            next.pieces.append(
                .init(
                    assembly: assembly, range: next.length..<next.length + length, shardOffset: run.shardOffset + done))
            next.length += length
            done += length
            if done == run.length { skip(run.length) }
            if next.length == limit || !isGathered { return next }
            job = next
        }
    }

    private mutating func begin(_ shard: Int, _ open: Open) throws -> Begin {
        if let known = begun[shard] { return known }
        let result = try open(files[file], shard, offset, payloads[shard], counts[shard] > 1)
        begun[shard] = result
        switch result {
        case .here(let assembly): assemblies.append(assembly)
        case .elsewhere(let path): elsewhere.append(path)
        case .present: break
        }
        return result
    }

    private mutating func skip(_ length: Int) {
        offset += length
        extent += 1
        done = 0
    }

    private mutating func beginFile() {
        let plan = files[file].plan
        extent = 0
        offset = 0
        done = 0
        begun = [:]
        counts = [Int](repeating: 0, count: plan.shards.count)
        payloads = counts
        for extent in plan.extents {
            counts[extent.shard] += 1
            payloads[extent.shard] += extent.length
        }
    }
}
