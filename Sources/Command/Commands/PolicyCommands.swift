import ArgumentParser
import Server
import WeightStore

struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy",
        abstract: "Eviction policies: SQL that lists shards in the order of eviction.",
        subcommands: [
            PolicyList.self, PolicyShow.self, PolicyCheck.self, PolicyExplain.self, PolicySimulate.self,
        ]
    ).examples("policy ls")
}

struct PolicyList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the built-in policies and those in the store's policies/."
    ).examples("policy ls")

    @OptionGroup var list: ListOptions
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let name: String
        let path: String?
        let summary: String
        let isDefault: Bool
    }

    func run() throws {
        let store = try options.open()
        let current = try store.quota.policy
        let answers = try store.policies().map {
            Answer(name: $0.name, path: $0.path, summary: $0.summary, isDefault: $0.name == current)
        }
        try Listing(
            answers, list,
            [
                .text("POLICY") { $0.name + ($0.isDefault ? " *" : "") }, .name("FROM") { $0.path ?? "built in" },
                .name("WHAT") { answer in String(answer.summary.prefix { $0 != ":" && $0 != "." }) },
            ]
        ).report(options)
    }
}

struct PolicyShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print the SQL of a policy."
    ).examples("policy show gdsf")

    @Argument(help: "The policy.", completion: .policies) var name: String
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let name: String
        let path: String?
        let sql: String
    }

    func run() throws {
        let policy = try options.open().policy(name)
        if options.json {
            return try Terminal.write(json: Answer(name: policy.name, path: policy.path, sql: policy.sql))
        }
        try Terminal.write(policy.sql)
    }
}

struct PolicyCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check that each policy is one read-only SELECT with the required columns.",
        discussion: "Exit status 6 if a policy is refused."
    ).examples("policy check ./mine.sql")

    @Argument(help: "Files or names (default: the store's policies/).") var policies: [String] = []
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let policy: String
        let refused: String?
    }

    func run() throws {
        let store = try options.open()
        let chosen =
            try policies.isEmpty
            ? store.policies().filter { $0.path != nil }
            : policies.map { try Policy.isFile($0) ? Policy(file: $0) : store.policy($0) }
        let answers = chosen.map { policy -> Answer in
            do {
                try store.check(policy)
                return Answer(policy: policy.path ?? policy.name, refused: nil)
            } catch {
                return Answer(policy: policy.path ?? policy.name, refused: "\(error)")
            }
        }
        if options.json {
            try Terminal.write(json: answers)
        } else {
            for answer in answers {
                if let refused = answer.refused {
                    Terminal.printDiagnostic("\(refused)")
                } else {
                    try Terminal.write("\(answer.policy): valid\n")
                }
            }
        }
        if answers.contains(where: { $0.refused != nil }) { throw ExitCode(ExitStatus.badInput.rawValue) }
    }
}

struct PolicyExplain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Show SQLite's plan for a policy, and the shards it would evict first."
    ).examples("policy explain gdsf --free 50G")

    @Argument(help: "A policy's name, or a file.", completion: .policies) var policy: String
    @Option(help: ArgumentHelp("The kind of shards: weights or kv.", valueName: "kind")) var kind = QuotaKind.weights
    @Option(help: ArgumentHelp("How many shards to show (default: 10).", valueName: "count")) var first: Int?
    @Option(
        help: ArgumentHelp("Find shards to evict up to this total size, and time the search: 50G.", valueName: "size"))
    var free: ByteSize?
    @OptionGroup var options: StoreOptions

    func validate() throws {
        try OptionRange.check("--first", first, 1...1_000_000, "leave it out for 10")
        try OptionRange.check("--free", free, atLeast: 1, "leave it out to show the first shards")
    }

    private struct Answer: Encodable {
        let plan: [String]
        let seconds: Double
        let found: Int
        let bytes: Int
        let victims: [EvictionCandidate]
    }

    func run() throws {
        let store = try options.open()
        let policy = try Policy.isFile(policy) ? Policy(file: policy) : store.policy(policy)
        let plan = try store.plan(of: policy, for: kind)
        let count = free == nil ? first ?? 10 : .max
        let (victims, seconds) = try store.victims(of: policy, for: kind, bytes: free?.bytes ?? .max, count: count)
        let bytes = victims.saturatingSum(\.bytes)
        let shown = Array(victims.prefix(first ?? 10))
        if options.json {
            return try Terminal.write(
                json: Answer(plan: plan, seconds: seconds, found: victims.count, bytes: bytes, victims: shown))
        }
        let place = kind == .kv ? ">DEPTH" : ">LAYER"
        var table = Table(
            "SHARD", ">SIZE", "LAST USED", ">USES", ">HEAT", ">FETCH", place, "KIND", ">MODELS", ">PRIORITY")
        for victim in shown {
            let place = kind == .kv ? victim.depth : victim.layer
            table.add(
                victim.digest.short, Quantity.bytes(victim.bytes), Quantity.age(victim.lastAccess),
                "\(victim.accesses)",
                Quantity.number(victim.heat), Quantity.seconds(victim.fetchSeconds), place.map { "\($0)" } ?? "",
                victim.kind.rawValue, "\(victim.models)", victim.priority.map(Quantity.number) ?? "")
        }
        try Terminal.write(
            plan.map { "plan  \($0)\n" }.joined()
                + "found \(Quantity.count(victims.count, "shard")), \(Quantity.bytes(bytes)), in "
                + String(Int((seconds * 1e6).rounded())) + " µs\n\n" + table.text)
    }
}

extension Policy {
    /// Whether an argument names a file instead of a policy of the store.
    static func isFile(_ argument: String) -> Bool { argument.contains("/") || argument.hasSuffix(".sql") }
}
