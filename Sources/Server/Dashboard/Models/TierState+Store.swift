import Support
import WeightStore

extension TierState {
    /// Below this share of the disk, it counts as full.
    private static let leastFreeShare = 0.02

    /// The disk tier.
    ///
    /// - Parameter gauge: what the bytes are; nil if they have not been added up yet.
    init(disk totals: StoreTotals, _ gauge: DiskGauge?) {
        let weights = totals.kinds[.weights]
        let (quota, used) = (weights?.quota ?? Quota(), weights?.bytes ?? 0)
        var parts: [Part] = []
        if let gauge {
            parts = [
                Part(kind: .leased, bytes: gauge.inUse), Part(kind: .pinned, bytes: gauge.pinned),
                Part(kind: .evictable, bytes: gauge.evictable), Part(kind: .onlyCopy, bytes: gauge.withoutOrigin),
            ]
        }
        // The parts are as old as the last sum; bytes that have arrived since are in none of them.
        let divided = parts.saturatingSum(\.bytes)
        if used > divided { parts.append(Part(kind: .other, bytes: used - divided)) }
        if let limit = quota.bytes, limit > used { parts.append(Part(kind: .free, bytes: limit - used)) }
        var marks: [Mark] = []
        if let low = quota.lowBytes, let high = quota.highBytes {
            marks = [
                Mark(label: "low \(Quantity.percent(quota.low))", bytes: low),
                Mark(label: "high \(Quantity.percent(quota.high))", bytes: high),
            ]
        }
        let (health, reasons) = Self.health(of: totals, quota, used: used)
        var facts = [
            "\(Quantity.bytes(totals.disk.available)) free on the disk of \(Quantity.bytes(totals.disk.total))"
        ]
        if let kv = totals.kinds[.kv], kv.bytes > 0 {
            facts.append("\(Quantity.bytes(kv.bytes)) of KV blocks beside it")
        }
        if let evicted = gauge?.evicted, evicted > 0 {
            facts.append("\(Quantity.bytes(evicted)) evicted, which the next use fetches")
        }
        if quota.bytes != nil { facts.append("policy \(quota.policy)") }
        self.init(
            name: "disk", label: "Disk", limit: quota.bytes, used: used, parts: parts, marks: marks, health: health,
            reasons: reasons, notes: [facts.joined(separator: " · ")])
    }

    private static func health(of totals: StoreTotals, _ quota: Quota, used: Int) -> (Health, [String]) {
        var critical: [String] = []
        var warnings: [String] = []
        if totals.damaged.shards > 0 {
            critical.append("\(Quantity.count(totals.damaged.shards, "shard")) damaged or missing")
        }
        if let limit = quota.bytes, used > limit {
            critical.append("above the quota")
        } else if let high = quota.highBytes, used > high {
            warnings.append("above the high watermark")
        }
        if Double(totals.disk.available) < Double(totals.disk.total) * leastFreeShare {
            critical.append("the disk is almost full")
        }
        for job in totals.jobs where job.status != 0 {
            warnings.append("the last \(job.name) failed \(Quantity.age(job.started))")
        }
        return (critical.isEmpty ? warnings.isEmpty ? .good : .warning : .critical, critical + warnings)
    }

    /// The memory tiers of all processes: one for each name.
    static func memory(of processes: [ProcessStatistics]) -> [TierState] {
        let all = processes.flatMap(\.tiers)
        return Set(all.map(\.name)).sorted { ($0 != "ram" ? 1 : 0, $0) < ($1 != "ram" ? 1 : 0, $1) }.map { name in
            TierState(name, all.filter { $0.name == name })
        }
    }

    private init(_ name: String, _ tiers: [ProcessStatistics.Tier]) {
        let (limit, used) = (tiers.saturatingSum(\.budget), tiers.saturatingSum(\.bytes))
        let (leased, loading) = (tiers.saturatingSum(\.leased), tiers.saturatingSum(\.loading))
        let failures = tiers.saturatingSum(\.failures)
        var reasons: [String] = []
        if failures > 0 { reasons.append("\(Quantity.count(failures, "load")) failed since the tier was opened") }
        if used > limit { reasons.append("above the budget") }
        let hits = tiers.saturatingSum(\.hits)
        let uses = hits.adding(saturating: tiers.saturatingSum(\.misses))
        var facts = ["opened by \(tiers.count) process\(tiers.count == 1 ? "" : "es")"]
        if uses > 0 { facts.append("\(Quantity.percent(Double(hits) / Double(uses))) of uses hit since then") }
        facts.append("policy \(Set(tiers.map(\.policy)).filter { !$0.isEmpty }.sorted().joined(separator: ", "))")
        self.init(
            name: name, label: Self.label(name), limit: limit, used: used,
            parts: [
                Part(kind: .leased, bytes: leased), Part(kind: .evictable, bytes: max(used - leased, 0)),
                Part(kind: .loading, bytes: loading), Part(kind: .free, bytes: max(limit - used - loading, 0)),
            ],
            marks: [], health: reasons.isEmpty ? .good : .warning, reasons: reasons,
            notes: [facts.joined(separator: " · ")])
    }

    /// The name of a memory tier for people.
    static func label(_ name: String) -> String {
        switch name {
        case "ram": "RAM"
        case "host": "Host device"
        default: name.dropping(bytePrefix: "cuda:").map { "GPU \($0)" } ?? name
        }
    }
}

extension ProcessState {
    init(_ process: ProcessStatistics) {
        name = "\(process.program.isEmpty ? "process" : process.program) (pid \(process.pid))"
        opened = process.startedAt
        tiers =
            process.tiers.map { tier in
                "\(TierState.label(tier.name)) \(Quantity.bytes(tier.bytes)) of \(Quantity.bytes(tier.budget))"
            }
            + process.fetches.map { fetch in
                "fetches \(fetch.model) from \(fetch.origin): \(Quantity.bytes(fetch.bytes)) of "
                    + Quantity.bytes(fetch.total)
            }
    }
}
