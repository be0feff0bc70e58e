import ArgumentParser
import WeightStore

struct QuotaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quota", abstract: "Show or set the disk quota of the shards.",
        discussion: """
            The catalog stores the quota for all processes. An import or a fetch that would not fit evicts first. \
            Eviction starts above the high watermark and stops at the low one. KV blocks have a quota of their own \
            (--kind kv).
            """
    ).examples("quota", "quota --set 200G --policy gdsf")

    @Option(help: ArgumentHelp("The kind of shards: weights or kv.", valueName: "kind")) var kind = QuotaKind.weights

    @Option(help: ArgumentHelp("The quota: 200G, or none.", valueName: "size")) var set: QuotaSize?
    @Option(help: ArgumentHelp("Share of the quota above which eviction starts: 95%.", valueName: "share")) var high:
        Share?
    @Option(help: ArgumentHelp("Share of the quota at which eviction stops: 85%.", valueName: "share")) var low: Share?
    @Option(
        help: ArgumentHelp("The eviction policy (weightstore policy ls).", valueName: "name"), completion: .policies)
    var policy: String?
    @OptionGroup var options: StoreOptions

    func run() throws {
        let store = try options.open()
        var replaced: Set<Quota.Setting> = []
        if set != nil { replaced.insert(.bytes) }
        if high != nil { replaced.insert(.high) }
        if low != nil { replaced.insert(.low) }
        if policy != nil { replaced.insert(.policy) }
        // What is replaced is not read: its old value may be damaged.
        var quota = try store.quota(of: kind, except: replaced)
        if let set { quota.bytes = set.bytes }
        if let high { quota.high = high.fraction }
        if let low { quota.low = low.fraction }
        if let policy { quota.policy = policy }
        if !replaced.isEmpty { try store.setQuota(quota, of: kind) }
        switch kind {
        case .weights:
            let gauge = try store.diskGauge()
            try options.json ? Terminal.write(json: gauge) : Terminal.write(quota.text + gauge.text)
        case .kv:
            let gauge = try store.kvGauge()
            try options.json ? Terminal.write(json: gauge) : Terminal.write(quota.text + gauge.text)
        }
    }
}

extension Quota {
    fileprivate var text: String {
        let watermarks = "eviction by \(policy) from \(Quantity.percent(high)) down to \(Quantity.percent(low))"
        return "quota      \(bytes.map { "\(Quantity.bytes($0)), \(watermarks)" } ?? "none")\n"
    }
}

extension QuotaKind: ExpressibleByArgument {}

/// A size, or `none`.
struct QuotaSize: ExpressibleByArgument {
    /// nil means none.
    let bytes: Int?

    init?(argument: String) {
        if argument == "none" {
            bytes = nil
        } else if let size = ByteSize(argument: argument), size.bytes > 0 {
            bytes = size.bytes
        } else {
            return nil
        }
    }
}
