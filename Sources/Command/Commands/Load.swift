import ArgumentParser
import DeviceMemory
import Server
import WeightStore

struct Load: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Load a revision into RAM or onto a device, and show the progress.",
        discussion: """
            In RAM the pages stay in the page cache when the program ends, so the next engine finds them there; --hold \
            keeps them until Ctrl-C, --lock prevents the kernel from reclaiming them.
            """
    ).examples("load org/llama --to gpu", "load org/llama --layers 0-11 --hold")

    @Argument(help: "The revision.", completion: .revisions) var revision: String
    @Option(
        help: ArgumentHelp("ram, gpu (the first CUDA device), or a device: \(DeviceKinds.names).", valueName: "tier"))
    var to = Tier.ram
    @Option(help: ArgumentHelp("Only these layers: 3, or 0-11.", valueName: "layers")) var layers: NumberRange?
    @Option(
        help: ArgumentHelp(
            "Of the experts of each layer, only these: 7, or 0-31. Tensors outside of the experts are loaded, too, and "
                + "tensors that stack all experts are loaded whole.",
            valueName: "experts"))
    var experts: NumberRange?
    @Option(help: TierBudget.help) var budget: TierBudget?
    @Option(
        help: ArgumentHelp(
            "The eviction policy for a full budget (weightstore policy ls).", valueName: "name"), completion: .policies)
    var policy: String?
    @Flag(
        help: ArgumentHelp(
            "Hash what is loaded. A damaged shard is moved to quarantine and fetched from an origin; without one, the exit "
                + "status is 3."))
    var verify = false
    @Flag(help: "Lock the pages in RAM.") var lock = false
    @Flag(help: "Hold the loaded tensors until Ctrl-C.") var hold = false
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let revision: String
        let bytes: Int
        let tensors: Int
        /// From opening the store until all bytes are loaded.
        let seconds: Double
        let tier: TierGauge
    }

    func validate() throws {
        try TierBudget.check(budget)
    }

    func run() throws {
        let start = ContinuousClock.now
        let store = try options.open()
        options.noteReadOnly(store)
        let revision = try store.revision(revision)
        try store.open(
            to,
            TierOptions(
                budget: budget?.bytes(in: to), locksPages: lock, verifies: verify,
                policy: try policy.map { try store.policy($0) } ?? .lru))
        let picture = TierPicture(store, revision, to)
        let lease: Lease
        do {
            defer { picture.end() }
            lease = try LongCall.run(stopping: store) { work in
                try work.wait { [layers, experts, to] in
                    if let experts {
                        return try await revision.lease(layers: layers?.range, withExperts: experts.range, in: to)
                    }
                    guard let layers else { return try await revision.lease(in: to) }
                    return try await revision.lease(layers: layers.range, in: to)
                }
            }
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let gauge = store.gauges[0]
        if options.json {
            try Terminal.write(
                json: Answer(
                    revision: revision.name, bytes: lease.bytes, tensors: lease.tensors.count, seconds: seconds,
                    tier: gauge))
        } else {
            try Terminal.write(
                "\(revision.name) in \(to): \(Quantity.count(lease.tensors.count, "tensor")), \(Quantity.bytes(lease.bytes)); "
                    + "\(Quantity.seconds(seconds)) (\(Quantity.bytes(Double(gauge.loaded) / max(seconds, 1e-6)))/s), "
                    + "\(Quantity.bytes(gauge.bytes)) of \(Quantity.bytes(gauge.budget)) in use\n")
        }
        if hold {
            Terminal.writeError("Held until Ctrl-C.\n")
            Signals.waitForStop()
        }
        lease.release()
    }
}

/// `3`, or `0-11`.
struct NumberRange: ExpressibleByArgument {
    let range: ClosedRange<Int>

    init?(argument: String) {
        guard let range = Quantity.parseRange(argument) else { return nil }
        self.range = range
    }
}

extension Tier: ExpressibleByArgument {
    /// The tier of this name; nil if there is no such tier.
    public init?(argument: String) {
        // The parser reports the value; the help lists the valid ones.
        guard let tier = try? Tier(argument) else { return nil }
        self = tier
    }
}
