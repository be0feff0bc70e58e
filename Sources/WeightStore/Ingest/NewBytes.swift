import ModelFormats
import Storage
import Support

/// The bytes that an import of files certainly writes: those of shards that differ in size or head from every stored one.
/// The files are read, and nothing is written.
struct NewBytes {
    private struct Shard: Hashable {
        var bytes: Int
        var head: Int64
    }

    private let run: ImportRun
    private var counted: Set<Shard> = []
    private(set) var bytes = 0

    init(_ run: ImportRun) { self.run = run }

    /// Adds a file. One that the store probably has, cut in another way, adds nothing.
    mutating func add(_ path: String) throws {
        let source = try FileSource(path)
        let status = source.status
        let known = try run.catalog.read { db in try SourceTable.find(status, db) }
        if known?.digest != nil { return }
        let layout = try FileLayout.read(source, path: path, rules: run.rules)
        let plans = ShardPlan.plans(layout)
        let older = plans.older.map { OlderCut($0, newer: plans.newest, run) { source } }
        if try run.isProbablyOneShard(source, layout) || older?.isProbablyKnown(layout) == true { return }
        for (ordinal, planned) in plans.newest.shards.enumerated() {
            try run.check()
            let shard = Shard(bytes: planned.bytes, head: try plans.newest.head(of: ordinal, in: source))
            if try counted.insert(shard).inserted && !run.mayHold(bytes: shard.bytes, head: shard.head) {
                bytes.add(saturating: shard.bytes)
            }
        }
    }
}
