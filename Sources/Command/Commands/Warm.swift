import ArgumentParser
import DeviceMemory
import Dispatch
import Server
import WeightStore

struct Warm: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "warm",
        abstract: "Bring the models that are used most into memory, before they are asked for. Made for boot.",
        discussion: """
            How often a model was used is in the catalog; each use counts half after a day. What saves most waiting per byte \
            goes first, until the budget is full; shards that models share count once, and nothing hotter goes. Safe at any \
            time, again, and beside others: what is there is not moved.

            A tier belongs to the process that opened it. When this program ends, the page cache keeps what it read, until \
            the kernel needs the memory for something else, and every process on this machine finds it there; nothing \
            stays on a device. --hold stays until Ctrl-C or SIGTERM and keeps the tier, --lock keeps the kernel from taking \
            the pages back, --every looks again whether something else has become hot.
            """)

    @Argument(help: "Only these revisions, used or not.") var revisions: [String] = []
    @Option(help: ArgumentHelp("How many of the most used.", valueName: "count")) var top = 5
    @Option(
        help: ArgumentHelp("ram, gpu (the first CUDA device), or a device: \(DeviceKinds.names).", valueName: "tier"))
    var to = Tier.ram
    @Option(
        help: ArgumentHelp(
            "How much memory the tier may take (default: half of what is free, 90% of a GPU's).", valueName: "size"))
    var budget: ByteSize?
    @Flag(help: "Leave out what was evicted from the disk, instead of fetching it.") var noFetch = false
    @Flag(help: "Say what would be warmed, what is left out and why, and warm nothing.") var plan = false
    @Flag(help: "Hold what was warmed until Ctrl-C.") var hold = false
    @Flag(help: "Lock the pages in RAM; with --hold.") var lock = false
    @Option(help: ArgumentHelp("With --hold: warm again so often (15m, 1h).", valueName: "span")) var every: TimeSpan?
    @OptionGroup var options: StoreOptions

    /// What is left when the program ends.
    private enum Remains: String, Encodable {
        case pageCache, held
    }

    private struct Answer: Encodable {
        let summary: WarmSummary
        let gauge: TierGauge
        let remains: Remains
    }

    func validate() throws {
        if top < 1 { throw ValidationError("--top: 1 or more") }
        if lock && !hold { throw ValidationError("--lock: with --hold, since what is locked goes with the program") }
        if lock && to != .ram { throw ValidationError("--lock: for ram; a device's memory is never taken back") }
        if let every, !hold || every.seconds < 1 { throw ValidationError("--every: with --hold, one second or more") }
        if plan && hold { throw ValidationError("--plan or --hold, not both") }
    }

    func run() throws {
        let store = try options.open()
        try store.open(to, TierOptions(budget: budget?.bytes, locksPages: lock))
        var request = WarmRequest(to: to)
        request.top = top
        request.revisions = revisions
        request.fetches = !noFetch
        if plan {
            let plan = try store.warmPlan(request)
            return try options.json ? Terminal.write(json: plan) : Terminal.write(plan.text)
        }
        let summary = try warm(request, in: store)
        try report(summary, store)
        if hold { return try keep(request, in: store) }
        if !summary.failed.isEmpty { throw ExitCode.failure }
    }

    /// Holds what was warmed until Ctrl-C or SIGTERM, and warms again at intervals.
    private func keep(_ request: WarmRequest, in store: Store) throws {
        // One handler for all of it: a signal between two rounds, or at the end of one, ends the command, too.
        let work = Work()
        let interrupted = DispatchSemaphore(value: 0)
        let interrupt = Interrupt { [weak store] in
            work.cancel()
            store?.stopFetching()
            interrupted.signal()
        }
        defer { withExtendedLifetime(interrupt) {} }
        ServiceManager.ready("\(Quantity.bytes(store.gauges[0].bytes)) in \(to)")
        Terminal.writeError("Held until Ctrl-C.\n")
        guard let every else { return interrupted.wait() }
        while interrupted.wait(timeout: .now() + .seconds(every.seconds)) == .timedOut {
            do {
                let again = try store.warmBlocking(request, work: Work(within: work))
                if again.warmed > 0 || !again.failed.isEmpty { try report(again, store) }
            } catch is CancellationError where work.isCancelled {
                return
            }
        }
    }

    private func warm(_ request: WarmRequest, in store: Store) throws -> WarmSummary {
        try LongCall.run("\(request.tier)", stopping: store) { try store.warmBlocking(request, work: $0) }
    }

    private func report(_ summary: WarmSummary, _ store: Store) throws {
        let gauge = store.gauges[0]
        if options.json {
            return try Terminal.write(json: Answer(summary: summary, gauge: gauge, remains: hold ? .held : .pageCache))
        }
        try Terminal.write(summary.text(gauge, isHeld: hold))
        for failure in summary.failed {
            Terminal.complain("\(failure.name): \(Quantity.bytes(failure.bytes)) left out: \(failure.message)")
        }
    }
}

extension WarmPlan {
    fileprivate var text: String {
        if items.isEmpty && leftOut.isEmpty {
            return "Nothing was used yet: there is nothing to warm. Name a model, or come back later.\n"
        }
        return table
            + "\n\(tier): \(Quantity.bytes(bytes)) to bring in, \(Quantity.bytes(diskBytes)) of it from the disk and "
            + "\(Quantity.bytes(fetchBytes)) from origins; the budget is \(Quantity.bytes(budget))"
            + (evicted > 0 ? "; \(Quantity.bytes(evicted)) of what is colder goes" : "") + "\n" + rest
    }

    fileprivate var table: String {
        var table = Table(
            "REVISION", "PROMPT", ">USES", ">PARTS", ">SIZE", ">SHARED", ">THERE", ">FROM DISK", ">TO FETCH", ">BENEFIT"
        )
        for item in items {
            table.add(
                item.revision, item.prompt ?? "", Quantity.number(item.uses),
                "\(item.parts)/\(Quantity.count(item.allParts, item.prompt == nil ? "layer" : "block"))",
                Quantity.bytes(item.bytes),
                Quantity.bytes(item.shared), Quantity.bytes(item.resident), Quantity.bytes(item.diskBytes),
                Quantity.bytes(item.fetchBytes), Quantity.number(item.benefit))
        }
        return table.isEmpty ? "" : table.text
    }

    /// What is not in it.
    fileprivate var rest: String {
        leftOut.map { "left out: \($0.name)\($0.bytes > 0 ? ", \(Quantity.bytes($0.bytes))" : ""): \($0.message)\n" }
            .joined()
            + (others > 0
                ? "\(Quantity.count(others, "revision")) more \(others == 1 ? "was" : "were") used; --top takes them in\n"
                : "")
    }
}

extension WarmSummary {
    fileprivate func text(_ gauge: TierGauge, isHeld: Bool) -> String {
        if plan.items.isEmpty && plan.leftOut.isEmpty { return plan.text }
        let remains =
            isHeld
            ? "held by this process"
            : plan.tier == .ram
                ? "this process ends now, and the page cache keeps them as long as the kernel likes"
                : "this process ends now, and with it what is on \(plan.tier); the page cache keeps what was read"
        return plan.table + "\(plan.tier): \(Quantity.bytes(warmed)) brought in, "
            + "\(Quantity.bytes(gauge.bytes)) of \(Quantity.bytes(gauge.budget)) in use"
            + "; \(Quantity.seconds(seconds)) (\(Quantity.bytes(Double(warmed) / max(seconds, 1e-6)))/s); \(remains)\n"
            + plan.rest
    }
}
