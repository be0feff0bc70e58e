import ModelFormats
import Storage

/// A file as the first cutting rule divides it, for a file that the newest rule divides in another way.
///
/// Two rules divide experts and packs into different shards, which share no bytes. The same file is still not stored
/// twice: a file that the store probably has by the older cut is hashed first, and then cut by the older rule, so an
/// import restores its damaged, lost and evicted shards. For other files, such as fine-tunes, the bytes that the store
/// holds by the older cut are counted.
struct OlderCut {
    let plan: ShardPlan
    private let newer: ShardPlan
    private let run: ImportRun
    private let source: () throws -> FileSource

    /// - Parameters:
    ///   - plan: the plan by the first rule.
    ///   - newer: the plan by the newest rule.
    ///   - source: opens the file if bytes of it are needed.
    init(_ plan: ShardPlan, newer: ShardPlan, _ run: ImportRun, _ source: @escaping () throws -> FileSource) {
        self.plan = plan
        self.newer = newer
        self.run = run
        self.source = source
    }

    /// Whether the store probably has the file: it has a whole one of this size, and rows of a sample of its shards.
    func isProbablyKnown(_ layout: FileLayout) throws -> Bool {
        let hasOther = try run.catalog.read { db in
            try FileTable.isCutOtherwise(bytes: layout.bytes, format: layout.format, rule: newer.rule, db)
        }
        guard hasOther else { return false }
        let most = 8
        let step = max(plan.shards.count / most, 1)
        for ordinal in stride(from: plan.shards.count - 1, through: 0, by: -step) {
            let (bytes, head) = try front(of: ordinal)
            guard try run.catalog.read({ db in try ShardTable.isKnown(bytes: bytes, head: head, db) }) else {
                return false
            }
        }
        return true
    }

    /// The bytes that lie in shards that were written, and that the store holds by the older cut, too. A shard of more
    /// than `ShardFacts.headBytes` is recognised by its size and its head.
    ///
    /// - Parameter written: shards of the newer plan.
    func bytesStored(in written: Set<Int>) throws -> Int {
        // Both plans have the same extents, in other shards.
        var isSizeStored: [Int: Bool] = [:]
        var stored = 0
        for ordinal in plan.shards.indices {
            let shard = plan.shards[ordinal]
            let again = numbers(of: ordinal).reduce(0) { sum, index in
                written.contains(newer.extents[index].shard) ? sum + newer.extents[index].length : sum
            }
            guard again > 0, !isAlike(ordinal) else { continue }
            let isKnown =
                try isSizeStored[shard.bytes]
                ?? run.catalog.read { db in try ShardTable.hasPresent(bytes: shard.bytes, db) }
            isSizeStored[shard.bytes] = isKnown
            guard isKnown else { continue }
            let (bytes, head) = try front(of: ordinal)
            if try run.mayHold(bytes: bytes, head: head) { stored += again }
        }
        return stored
    }

    /// The numbers of a shard's extents.
    private func numbers(of ordinal: Int) -> ArraySlice<Int> { plan.extentNumbers(of: ordinal) }

    /// Whether the newer plan has the same shard.
    private func isAlike(_ ordinal: Int) -> Bool {
        let numbers = numbers(of: ordinal)
        guard let first = numbers.first else { return true }
        let other = newer.extents[first].shard
        return newer.extentNumbers(of: other) == numbers
            && numbers.allSatisfy { newer.extents[$0].shardOffset == plan.extents[$0].shardOffset }
    }

    /// The size of a shard, and its head.
    private func front(of ordinal: Int) throws -> (bytes: Int, head: Int64) {
        try run.check()
        return (plan.shards[ordinal].bytes, try plan.head(of: ordinal, in: source()))
    }
}
