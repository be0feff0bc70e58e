import ArgumentParser
import DeviceMemory
import Dispatch
import Server
import WeightStore

struct Warm: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "warm",
        abstract: "Load the most used models into memory before they are needed. Made for boot.",
        discussion: """
            The catalog counts the uses of each model and prompt; a use counts half after a day. The items that save \
            the most load time per byte are loaded first, until the budget is full. Shards that models share count once, \
            and hotter shards are not evicted. Safe at any time, repeatedly and concurrently: resident shards are not \
            loaded again.

            A tier belongs to the process that opened it. When this program ends, nothing stays on a device; the page \
            cache keeps the bytes read, for every process on this machine, until the kernel needs the memory. --hold \
            keeps the tier until Ctrl-C or SIGTERM, --lock prevents the kernel from reclaiming the pages, --every \
            repeats the warm-up.
            """
    ).examples("warm --plan", "warm --top 3 --hold --every 15m")

    @Argument(help: "Only these revisions, used or not.", completion: .revisions) var revisions: [String] = []
    @Option(help: ArgumentHelp("The number of most used revisions to warm.", valueName: "count")) var top = 5
    @Option(
        help: ArgumentHelp("ram, gpu (the first CUDA device), or a device: \(DeviceKinds.names).", valueName: "tier"))
    var to = Tier.ram
    @Option(help: TierBudget.help) var budget: TierBudget?
    @Flag(help: "Skip shards that were evicted from the disk instead of fetching them.") var noFetch = false
    @Flag(help: "Only show what would be warmed, and what is skipped and why.") var plan = false
    @Flag(help: "Hold the warmed shards until Ctrl-C.") var hold = false
    @Flag(help: "Lock the pages in RAM; with --hold.") var lock = false
    @Option(help: ArgumentHelp("With --hold: repeat at this interval: 15m, 1h.", valueName: "time")) var every:
        TimeSpan?
    @OptionGroup var tables: TableOptions
    @OptionGroup var options: StoreOptions

    /// Where the bytes stay when the program ends.
    private enum Residence: String, Encodable {
        case pageCache, held
    }

    private struct Answer: Encodable {
        let summary: WarmSummary
        let gauge: TierGauge
        let remains: Residence
    }

    func validate() throws {
        if top < 1 { throw ValidationError("--top \(top): must be at least 1") }
        if lock && !hold {
            throw ValidationError("--lock requires --hold: locked pages are released when the program ends")
        }
        if lock && to != .ram { throw ValidationError("--lock requires --to ram: device memory is never reclaimed") }
        if every != nil && !hold { throw ValidationError("--every requires --hold") }
        try OptionRange.check("--every", every, 1...366 * 86_400, "leave it out to warm once")
        try TierBudget.check(budget)
        if plan && hold { throw ValidationError("--plan and --hold exclude each other") }
    }

    func run() throws {
        let store = try options.open()
        options.noteReadOnly(store)
        try store.open(to, TierOptions(budget: budget?.bytes(in: to), locksPages: lock))
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

    /// Holds the warmed shards until Ctrl-C or SIGTERM, and warms again at intervals.
    private func keep(_ request: WarmRequest, in store: Store) throws {
        // One handler for all rounds: a signal between two rounds, or at the end of one, also ends the command.
        let work = Work()
        let interrupted = DispatchSemaphore(value: 0)
        let registration = Signals.onStop(isSuccess: true) { [weak store] in
            work.cancel()
            store?.stopFetching()
            interrupted.signal()
        }
        defer { withExtendedLifetime(registration) {} }
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
        try LongCall.run("\(request.tier)", isSilent: true, stopping: store) {
            try store.warmBlocking(request, work: $0)
        }
    }

    private func report(_ summary: WarmSummary, _ store: Store) throws {
        let gauge = store.gauges[0]
        if options.json {
            return try Terminal.write(json: Answer(summary: summary, gauge: gauge, remains: hold ? .held : .pageCache))
        }
        try Terminal.write(summary.text(gauge, isHeld: hold))
        for failure in summary.failed {
            Terminal.printDiagnostic("\(failure.name): \(Quantity.bytes(failure.bytes)) skipped: \(failure.message)")
        }
    }
}

extension WarmPlan {
    fileprivate var text: String {
        if items.isEmpty && skipped.isEmpty {
            return "Nothing to warm: no model was used yet. Name a model, or run this again later.\n"
        }
        return table
            + "\n\(tier): \(Quantity.bytes(bytes)) to load, \(Quantity.bytes(diskBytes)) of it from the disk and "
            + "\(Quantity.bytes(fetchBytes)) from origins; the budget is \(Quantity.bytes(budget))"
            + (evicted > 0 ? "; \(Quantity.bytes(evicted)) of colder shards would be evicted" : "") + "\n" + rest
    }

    fileprivate var table: String {
        var table = Table(
            "~REVISION", "~PROMPT", ">USES", ">PARTS", ">SIZE", ">SHARED", ">RESIDENT", ">FROM DISK", ">TO FETCH",
            ">BENEFIT"
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

    /// The items that the plan omits.
    fileprivate var rest: String {
        skipped.map { "skipped: \($0.name)\($0.bytes > 0 ? ", \(Quantity.bytes($0.bytes))" : ""): \($0.message)\n" }
            .joined()
            + (beyondTop > 0
                ? "not listed: \(Quantity.count(beyondTop, "used revision")); --top includes more\n"
                : "")
    }
}

extension WarmSummary {
    fileprivate func text(_ gauge: TierGauge, isHeld: Bool) -> String {
        if plan.items.isEmpty && plan.skipped.isEmpty { return plan.text }
        let remains =
            isHeld
            ? "held by this process"
            : plan.tier == .ram
                ? "the page cache keeps them until the kernel needs the memory"
                : "freed on \(plan.tier) when this process ends; the page cache keeps the bytes read"
        return plan.table + "\(plan.tier): \(Quantity.bytes(warmed)) loaded, "
            + "\(Quantity.bytes(gauge.bytes)) of \(Quantity.bytes(gauge.budget)) in use"
            + "; \(Quantity.seconds(seconds)) (\(Quantity.bytes(Double(warmed) / max(seconds, 1e-6)))/s); \(remains)\n"
            + plan.rest
    }
}
