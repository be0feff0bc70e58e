import ArgumentParser
import Foundation
import Synchronization
import WeightStore

struct PolicySimulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Replay accesses with several policies and quotas, and compare their miss ratios.",
        discussion: """
            Replays the store's record (weightstore record on), or a trace: a text file with a line time,id,size for \
            each access. Each policy runs with the same SQL as in the store. "bound" is a lower bound for every \
            policy, computed from the future accesses.

            A trace can also list requests to a language model, to simulate KV blocks: a line {"timestamp": ms, \
            "hash_ids": [...]} for each, as in Mooncake's traces. A block is then a hit only if all blocks before it \
            are resident, and the hit ratio is drawn.
            """
    ).examples("policy simulate --policy lru,gdsf --quota 50G..500G --svg curve.svg")

    @Option(help: ArgumentHelp("A trace instead of the store's own record.", valueName: "file"), completion: .file())
    var log: String?
    @Option(help: ArgumentHelp("Policy names or files, separated by commas.", valueName: "names"))
    var policy = "lru,lfu,gdsf"
    @Option(
        help: ArgumentHelp("Quotas: 10G..500G, or 10G,50G,100G (default: 1% to 80% of all bytes).", valueName: "sizes"))
    var quota: QuotaRange?
    @Option(help: ArgumentHelp("The number of quotas in a range.", valueName: "count")) var points = 8
    @Option(
        help: ArgumentHelp(
            "Evict down to this share of the quota; 100%, as in other cache simulators, frees only the needed bytes.",
            valueName: "share"))
    var low = Share(argument: "100%")!
    @Option(help: ArgumentHelp("The size of a KV block in a trace of requests.", valueName: "size"))
    var blockSize = ByteSize(argument: "64Mi")!
    @Flag(help: "In a trace of requests: allow policies to drop blocks that others depend on, unlike the store.")
    var anyBlock = false
    @Flag(help: "Draw the byte miss ratio instead of the object miss ratio.") var byteRatio = false
    @Option(help: ArgumentHelp("Also draw into this file.", valueName: "file"), completion: .file()) var svg: String?
    @OptionGroup var options: StoreOptions

    func validate() throws {
        try OptionRange.check("--points", points, 1...10_000, "8 is the default")
        try OptionRange.check("--block-size", blockSize, atLeast: 1, "64MiB is the default")
    }

    func run() throws {
        let names = policy.split(separator: ",").map(String.init)
        let trace: AccessTrace
        let policies: [Policy]
        if let log, names.allSatisfy({ name in Policy.isFile(name) || Policy.builtIn.contains { $0.name == name } }) {
            // This needs no store.
            trace = try AccessTrace(files: [log], blockBytes: blockSize.bytes)
            policies = try names.map { name in
                try Policy.builtIn.first { $0.name == name } ?? Policy(file: name)
            }
        } else {
            let store = try options.open()
            trace =
                try log.map { try AccessTrace(files: [$0], blockBytes: blockSize.bytes) } ?? store.recordedAccesses()
            policies = try names.map { try Policy.isFile($0) ? Policy(file: $0) : store.policy($0) }
        }
        guard !trace.accesses.isEmpty else {
            throw ValidationError("\(log ?? "the store's record"): contains no accesses to replay")
        }
        let footprint = trace.footprint
        let range = quota ?? .range(max(footprint / 100, 1), max(footprint / 5 * 4, 1))
        let curve = try LongCall.run(unit: .things("accesses")) { work in
            try MissRatioCurve.simulateBlocking(
                trace, policies: policies, quotas: range.sizes(points), low: low.fraction, leavesFirst: !anyBlock,
                work: work)
        }
        let drawing = CurveDrawing(curve: curve, usesBytes: byteRatio)
        if let svg { try Data(drawing.svg.utf8).write(to: URL(fileURLWithPath: svg)) }
        try options.json ? Terminal.write(json: curve) : Terminal.write(drawing.text(width: Terminal.width))
    }
}

/// `10G..500G`, or `10G,50G,100G`.
enum QuotaRange: ExpressibleByArgument {
    case range(Int, Int)
    case list([Int])

    init?(argument: String) {
        if let dots = argument.range(of: "..") {
            guard let low = ByteSize(argument: String(argument[..<dots.lowerBound])),
                let high = ByteSize(argument: String(argument[dots.upperBound...])), 0 < low.bytes,
                low.bytes <= high.bytes
            else { return nil }
            self = .range(low.bytes, high.bytes)
        } else {
            let sizes = argument.split(separator: ",").map { ByteSize(argument: String($0))?.bytes ?? 0 }
            guard !sizes.isEmpty, sizes.allSatisfy({ $0 > 0 }) else { return nil }
            self = .list(sizes.sorted())
        }
    }

    /// The quotas of a range grow by a constant factor.
    func sizes(_ count: Int) -> [Int] {
        switch self {
        case .list(let sizes): return sizes
        case .range(let low, let high):
            if count == 1 || low == high { return [high] }
            let factor = pow(Double(high) / Double(low), 1 / Double(count - 1))
            return (0..<count).map {
                $0 == count - 1 ? high : Int(saturating: (Double(low) * pow(factor, Double($0))).rounded())
            }
        }
    }
}
