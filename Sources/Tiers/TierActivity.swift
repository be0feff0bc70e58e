import Storage
import Support

/// What a memory tier has counted since its counts were last added to the catalog. Hits are counted by the shards, and
/// moved here.
struct TierActivity {
    private var uses = (count: 0, bytes: 0)
    private var misses = (count: 0, bytes: 0)
    private var loads = TimeHistogram()
    /// The loads whose bytes were on disk.
    private var reads = (count: 0, bytes: 0, seconds: 0.0)
    /// By policy.
    private var evictions: [String: (count: Int, bytes: Int)] = [:]
    /// The loads that failed, and were not cancelled.
    var failures = 0

    mutating func addUses(_ count: Int, bytes: Int) {
        uses.count.add(saturating: count)
        uses.bytes.add(saturating: count.multiplied(saturating: bytes))
    }

    mutating func addMisses(_ count: Int, bytes: Int) {
        misses.count.add(saturating: count)
        misses.bytes.add(saturating: count.multiplied(saturating: bytes))
    }

    mutating func addLoad(bytes: Int, seconds: Double, isFetched: Bool) {
        loads.add(seconds)
        if isFetched { return }
        reads.count += 1
        reads.bytes.add(saturating: bytes)
        reads.seconds += seconds
    }

    mutating func addEviction(by policy: String, bytes: Int) {
        let before = evictions[policy] ?? (0, 0)
        evictions[policy] = (before.count + 1, before.bytes.adding(saturating: bytes))
    }

    /// Returns the counts, and resets them.
    mutating func drain(_ tier: Tier) -> [ActivityValue] {
        let (place, disk) = (tier.description, SourceKind.disk.rawValue)
        let all: [(ActivityMetric, String, Double)] = [
            (.hits, place, Double(uses.count - misses.count)), (.hitBytes, place, Double(uses.bytes - misses.bytes)),
            (.misses, place, Double(misses.count)), (.missBytes, place, Double(misses.bytes)),
            (.loadFailures, place, Double(failures)), (.hits, disk, Double(reads.count)),
            (.reads, disk, Double(reads.count)), (.readBytes, disk, Double(reads.bytes)),
            (.readSeconds, disk, reads.seconds),
        ]
        var values = all.map { ActivityValue(ActivityKey($0.0, $0.1), $0.2) } + loads.values(of: .loads, in: place)
        for (policy, sum) in evictions {
            values.append(ActivityValue(ActivityKey(.evictions, place, part: policy), Double(sum.count)))
            values.append(ActivityValue(ActivityKey(.evictedBytes, place, part: policy), Double(sum.bytes)))
        }
        self = TierActivity()
        return values.filter { $0.value > 0 }
    }
}

extension MemoryTier.State {
    /// Moves uses here from a shard.
    mutating func add(_ count: Int, usesOf shard: ResidentShard) {
        uses += count
        activity.addUses(count, bytes: shard.bytes)
    }

    /// Counts uses that waited for a load.
    mutating func add(_ count: Int, missesOf shard: ResidentShard) {
        misses += count
        activity.addMisses(count, bytes: shard.bytes)
    }
}
