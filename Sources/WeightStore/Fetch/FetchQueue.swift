import Files
import ModelFormats

/// A range of a file that is fetched with one request, and the shards that its bytes belong to.
struct FetchJob {
    struct Piece {
        let assembly: ShardAssembly
        /// The place of the piece in the job's buffer.
        let range: Range<Int>
        let shardOffset: Int
        /// Whether all bytes of the shard before it have arrived, or are in jobs before this one.
        let isInOrder: Bool
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
        case acquired(ShardAssembly)
        /// Another fetch transfers the shard, and holds the lock of this partial file.
        case locked(String)
        /// The shard was fetched meanwhile.
        case present
    }

    /// - Parameter places: the shard's extents, in the order of its bytes.
    typealias Open = (_ file: FetchFile, _ ordinal: Int, _ places: [ShardPlan.Place]) throws -> Begin

    /// The most bytes that wait in memory for their turn in a shard, and the most shards that are begun and not
    /// complete. Each such shard has two open files: its partial file, and the lock of it.
    private static let limits = ShardPlan.PassLimits(
        frontBytes: 0, bufferBytes: 64 << 20, openShards: min(512, max(OpenFiles.limit / 8, 32)))

    /// The most shards that one range begins, and the most shards of a group.
    private static let mostBegun = limits.openShards / 2

    /// The most shards that are begun and not committed when another one is begun. At least those that may lack a range that
    /// was not handed out, so the wait for fewer ends: those that are open in the order of the ranges, and those of the
    /// range that is being made.
    static let mostOpen = limits.openShards + mostBegun

    private let files: [FetchFile]
    private var file = -1
    /// The numbers of the file's wanted extents, in the order in which they are fetched: first in file order, then
    /// those of scattered shards, group by group.
    private var order: [Int] = []
    private var position = 0
    /// The number of bytes of the extent that are in jobs already.
    private var done = 0
    private var begun: [Int: Begin] = [:]
    /// The extents all of whose bytes are in jobs or have arrived.
    private var issued: Set<Int> = []
    /// By shard, the number of its extents that are issued, from the first one on.
    private var issuedInOrder: [Int: Int] = [:]
    /// All shards that this fetch has begun.
    private var assemblies: [ShardAssembly] = []
    /// The partial files of shards that other fetches transfer.
    private(set) var locked: [String] = []

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
        var newShards = 0
        while true {
            guard file >= 0, position < order.count else {
                if let job { return job }
                file += 1
                guard file < files.count else {
                    file = files.count - 1
                    return nil
                }
                beginFile()
                continue
            }
            let plan = files[file].plan
            let run = plan.extents[order[position]]
            let offset = plan.offset(of: order[position])
            // A range is contiguous in the file.
            if let job, job.offset + job.length != offset + done { return job }
            let isNew = begun[run.shard] == nil
            if isNew, newShards >= Self.mostBegun, let job { return job }
            guard case .acquired(let assembly) = try begin(run.shard, open) else {
                if let job { return job }
                files[file].hash?.giveUp()
                advance()
                continue
            }
            if isNew { newShards += 1 }
            let have = assembly.have - run.shardOffset
            if done < have {
                if let job { return job }
                files[file].hash?.giveUp()
                done = min(have, run.length)
            }
            guard done < run.length else {
                advance()
                continue
            }
            let isInOnePlace = plan.extentCount(of: run.shard) == 1
            let space = limit - (job?.length ?? 0)
            // A streamed shard begins at the front of a buffer, which keeps its writes aligned.
            if job != nil, isInOnePlace || space < run.length - done { return job }
            let length = min(run.length - done, space)
            // Moved and not copied: a range may have 200,000 pieces.
            var next = job.take() ?? FetchJob(file: files[file], offset: offset + done, length: 0, pieces: [])
            next.pieces.append(
                .init(
                    assembly: assembly, range: next.length..<next.length + length, shardOffset: run.shardOffset + done,
                    isInOrder: isNext(order[position], of: run.shard, plan)))
            next.length += length
            done += length
            if done == run.length { advance() }
            if next.length == limit || isInOnePlace { return next }
            job = next
        }
    }

    private mutating func begin(_ shard: Int, _ open: Open) throws -> Begin {
        if let known = begun[shard] { return known }
        let result = try open(files[file], shard, files[file].plan.places(of: shard))
        begun[shard] = result
        switch result {
        case .acquired(let assembly): assemblies.append(assembly)
        case .locked(let path): locked.append(path)
        case .present: break
        }
        return result
    }

    /// Whether an extent is the first one of its shard that is not issued.
    private mutating func isNext(_ extent: Int, of shard: Int, _ plan: ShardPlan) -> Bool {
        let numbers = plan.extentNumbers(of: shard)
        var next = numbers.startIndex + issuedInOrder[shard, default: 0]
        while next < numbers.endIndex, issued.contains(numbers[next]) { next += 1 }
        issuedInOrder[shard] = next - numbers.startIndex
        return next < numbers.endIndex && numbers[next] == extent
    }

    private mutating func advance() {
        issued.insert(order[position])
        position += 1
        done = 0
    }

    /// The scattered shards, in groups that are each fetched in file order. The packs of a layer are made of tensors that
    /// are neighbours in the file, so a group needs few requests; a pack alone needs one for almost every tensor. All of
    /// a group may be open and wait in memory, also while the end of the group before it arrives.
    private static func groups(of scattered: Set<Int>, _ plan: ShardPlan) -> [[Int]] {
        var groups: [[Int]] = []
        var bytes = 0
        for shard in scattered.sorted() {
            let isFull =
                groups.last.map { $0.count >= mostBegun } ?? true
                || plan.shards[shard].bytes > limits.bufferBytes / 2 - bytes
            if isFull {
                groups.append([])
                bytes = 0
            }
            groups[groups.count - 1].append(shard)
            bytes += plan.shards[shard].bytes
        }
        return groups
    }

    private mutating func beginFile() {
        let (plan, wanted) = (files[file].plan, files[file].wanted)
        let scattered = plan.scatteredShards(Self.limits, among: wanted)
        order = plan.extents.indices.filter { index in
            wanted.contains(plan.extents[index].shard) && !scattered.contains(plan.extents[index].shard)
        }
        for group in Self.groups(of: scattered, plan) {
            let extents = group.flatMap { plan.extentNumbers(of: $0) }
            order += group.count == 1 ? extents : extents.sorted()
        }
        // The bytes do not arrive in the order of the file.
        if !scattered.isEmpty { files[file].hash?.giveUp() }
        position = 0
        done = 0
        begun = [:]
        issued = []
        issuedInOrder = [:]
    }
}
