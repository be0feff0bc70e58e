import ArgumentParser
import Foundation
import Pictures
import WeightStore

struct PolicySimulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Replay accesses with several policies and quotas, and compare their miss ratios.",
        discussion: """
            Replays the store's record (weightstore record on), or a trace: a text file with a line time,id,size for \
            each access. Each policy runs with the same SQL as in the store. "bound" is a lower bound for every \
            policy, computed from the future accesses.

            With the store's record, the first policy is the store's own, its quota is one of the sizes, and the \
            result says how many reads miss at this quota and with half as much again.

            A trace can also list requests to a language model, to simulate KV blocks: a line {"timestamp": ms, \
            "hash_ids": [...]} for each, as in Mooncake's traces. A block is then a hit only if all blocks before it \
            are resident, and the hit ratio is drawn.
            """
    ).examples("policy simulate --policy lru,gdsf --quota 50G..500G --plot curve.svg")

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
            "Evict down to this share of the quota; 100%, as in other cache simulators, frees only the needed bytes "
                + "(default: the store's watermarks with its record, 100% with --log).",
            valueName: "share"))
    var low: Share?
    @Option(help: ArgumentHelp("The size of a KV block in a trace of requests.", valueName: "size"))
    var blockSize = ByteSize(argument: "64Mi")!
    @Flag(help: "In a trace of requests: allow policies to drop blocks that others depend on, unlike the store.")
    var anyBlock = false
    @Flag(help: "Draw the byte miss ratio in the terminal instead of the object miss ratio.") var byteRatio = false
    @Option(
        help: ArgumentHelp("Also draw both ratios into FILE.svg.", valueName: "file"),
        completion: .file(extensions: ["svg"]))
    var plot: String?
    @OptionGroup var options: StoreOptions

    func validate() throws {
        try OptionRange.check("--points", points, 1...10_000, "8 is the default")
        try OptionRange.check("--block-size", blockSize, atLeast: 1, "64MiB is the default")
        try PictureFile.check("--plot", plot, ".svg")
    }

    func run() throws {
        let names = policy.split(separator: ",").map(String.init)
        guard let log else { return try forecast(names) }
        let trace = try AccessTrace(files: [log], blockBytes: blockSize.bytes)
        let policies = try policies(names)
        guard !trace.accesses.isEmpty else {
            throw ValidationError("\(log): contains no accesses to replay")
        }
        let footprint = trace.footprint
        let range = quota ?? .range(max(footprint / 100, 1), max(footprint / 5 * 4, 1))
        let curve = try LongCall.run(unit: .things("accesses")) { work in
            try MissRatioCurve.simulateBlocking(
                trace, policies: policies, quotas: range.sizes(points), low: low?.fraction ?? 1,
                leavesFirst: !anyBlock, work: work)
        }
        try write(MissRatioPicture(curve))
        if options.json { return try Terminal.write(json: curve) }
        try Terminal.write(CurveDrawing(curve: curve, usesBytes: byteRatio).text(width: Terminal.width))
    }

    /// Opens a store only if a policy can be one of its own.
    private func policies(_ names: [String]) throws -> [Policy] {
        let known = try names.map { name in
            try Policy.isFile(name) ? Policy(file: name) : Policy.builtIn.first { $0.name == name }
        }
        if !known.contains(nil) { return known.compactMap(\.self) }
        let store = try options.open()
        return try zip(names, known).map { name, known in
            try known?.path != nil ? known ?? store.policy(name) : store.policy(name)
        }
    }

    /// Replays the store's own record.
    private func forecast(_ names: [String]) throws {
        let store = try options.open()
        var request = QuotaForecastRequest()
        request.policies = try names.map { try Policy.isFile($0) ? Policy(file: $0) : store.policy($0) }
        request.quotas = quota?.sizes(points) ?? []
        request.points = points
        request.low = low?.fraction
        let forecast = try LongCall.run(unit: .things("accesses")) { [request] work in
            try store.quotaForecastBlocking(request, work: work)
        }
        try write(MissRatioPicture(forecast))
        if options.json { return try Terminal.write(json: ForecastOutput(forecast: forecast)) }
        try Terminal.write(
            CurveDrawing(curve: forecast.curve, usesBytes: byteRatio).text(width: Terminal.width)
                + "\n\(forecast.sentence)\n")
    }

    private func write(_ picture: MissRatioPicture) throws {
        if let plot { try PictureFile.write(picture.drawing().xml, to: plot) }
    }
}

/// A forecast as JSON: the curve's properties, and beside them those of the forecast.
private struct ForecastOutput: Encodable {
    let forecast: QuotaForecast

    private enum Key: String, CodingKey {
        case quota, policy, recordedSeconds, present, larger, smaller, sufficient, sentence
    }

    func encode(to encoder: any Encoder) throws {
        try forecast.curve.encode(to: encoder)
        var container = encoder.container(keyedBy: Key.self)
        try container.encodeIfPresent(forecast.quota, forKey: .quota)
        try container.encode(forecast.policy, forKey: .policy)
        try container.encode(forecast.recordedSeconds, forKey: .recordedSeconds)
        try container.encodeIfPresent(forecast.present, forKey: .present)
        try container.encodeIfPresent(forecast.larger, forKey: .larger)
        try container.encodeIfPresent(forecast.smaller, forKey: .smaller)
        try container.encode(forecast.sufficient, forKey: .sufficient)
        try container.encode(forecast.sentence, forKey: .sentence)
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
