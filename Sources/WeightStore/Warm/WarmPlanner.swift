import Storage

/// Chooses the shards to warm, and their order.
///
/// The worth of a byte in memory is expected uses × seconds saved per byte, so the budget is filled with the bytes of
/// the highest worth first. A revision's worth counts only shards that no earlier revision of the plan loads. The
/// revision with the highest worth per byte is next, and then the worth of the others is computed again, because the
/// shards that they share with it are loaded.
///
/// Within a revision, the shards outside of the layers are first, and then the layers in order, so that a revision that
/// does not fit whole has the layers that are needed first. A prompt begins with its first block. The item ends at the
/// first layer or block that does not fit; a later item may use the remaining room.
///
/// Shards in the tier are not evicted if they are leased, in the plan, or at least as hot as the incoming ones (in
/// uses, or in benefit per byte).
struct WarmPlanner {
    /// An item to plan, with the shards that are worth warming.
    struct Candidate {
        let item: WarmItem
        let shards: [WarmShard]
    }

    /// A shard that is in the tier.
    struct Resident {
        let bytes: Int
        let isLeased: Bool
        let uses: Double
        let benefitPerByte: Double
    }

    private var plan: WarmPlan
    private var residents: [ContentDigest: Resident]
    private let underWay: [ContentDigest: Int]
    private var free: Int
    /// The shards that are in the plan.
    private var planned: Set<ContentDigest> = []

    /// - Parameters:
    ///   - plan: an empty plan with tier and budget.
    ///   - underWay: the sizes of shards that other loads bring into the tier: their room is reserved already.
    ///   - rangeBytes: the size of all ranges of shards in the tier, which a warm-up does not evict.
    init(
        _ plan: WarmPlan, residents: [ContentDigest: Resident], underWay: [ContentDigest: Int], rangeBytes: Int = 0
    ) {
        self.plan = plan
        self.residents = residents
        self.underWay = underWay
        free =
            plan.budget - rangeBytes - underWay.values.reduce(0, +) - residents.values.saturatingSum(\.bytes)
    }

    mutating func plan(_ candidates: [Candidate]) -> WarmPlan {
        var holders: [ContentDigest: [Int]] = [:]
        for (index, candidate) in candidates.enumerated() {
            for shard in candidate.shards { holders[shard.digest, default: []].append(index) }
        }
        var worth = candidates.map(worth)
        var left = Set(candidates.indices)
        while let next = left.max(by: { (worth[$0], $1) < (worth[$1], $0) }) {
            left.remove(next)
            let added = add(candidates[next], worth: worth[next])
            for changed in Set(added.flatMap { holders[$0] ?? [] }).intersection(left) {
                worth[changed] = self.worth(candidates[changed])
            }
        }
        return plan
    }

    /// Seconds saved per byte that the candidate adds. A candidate that adds nothing is the first.
    private func worth(_ candidate: Candidate) -> Double {
        candidate.shards.filter { !planned.contains($0.digest) }.benefitPerByte ?? .infinity
    }

    /// - Returns: the shards that were added to the plan.
    private mutating func add(_ candidate: Candidate, worth: Double) -> [ContentDigest] {
        var entry = candidate.item
        entry.benefit = (worth.isFinite ? worth : candidate.shards.benefitPerByte ?? 0) * 1e9
        let parts = Dictionary(grouping: candidate.shards, by: \.part).sorted { $0.key < $1.key }
        entry.allParts = parts.count(where: \.key.isNumber)
        var added: [ContentDigest] = []
        for (key, part) in parts {
            let new = part.filter { !planned.contains($0.digest) }
            let absent = new.filter { residents[$0.digest] == nil }
            // Before `makeRoom`, so that the part's own shards are not victims.
            planned.formUnion(new.map(\.digest))
            guard let victims = makeRoom(for: absent) else {
                planned.subtract(new.map(\.digest))
                break
            }
            added += new.map(\.digest)
            entry.bytes.add(saturating: part.bytes)
            entry.shared += part.bytes - new.bytes
            entry.resident += new.bytes - absent.bytes
            entry.fetchBytes.add(saturating: absent.filter { !$0.isPresent }.bytes)
            entry.parts += key.isNumber ? 1 : 0
            plan.bytes.add(saturating: absent.bytes)
            if !absent.isEmpty {
                plan.steps.append(WarmStep(item: plan.items.count, shards: absent, victims: victims))
            }
        }
        let missing = candidate.shards.bytes - entry.bytes
        if missing > 0 {
            let kind = entry.prompt == nil ? "layers" : "blocks"
            let share = entry.bytes > 0 ? "; \(entry.parts) of \(entry.allParts) \(kind) fit" : ""
            plan.skipped.append(
                SkippedItem(
                    revision: entry.revision, prompt: entry.prompt, bytes: missing, reason: .doesNotFit,
                    message: "does not fit beside shards that are hotter or save more time per byte\(share)"))
        }
        if entry.bytes > 0 { plan.items.append(entry) }
        return added
    }

    /// Reserves room for shards.
    ///
    /// - Returns: the shards to evict for them; nil if there is not enough room, in which case nothing is reserved.
    private mutating func makeRoom(for shards: [WarmShard]) -> Set<ContentDigest>? {
        let shards = shards.filter { underWay[$0.digest] == nil }
        let requested = shards.bytes
        guard requested > free else {
            free -= requested
            return []
        }
        let uses = shards.reduce(.infinity) { min($0, $1.uses) }
        let benefit = shards.benefitPerByte ?? 0
        let colder = residents.filter { digest, resident in
            !resident.isLeased && !planned.contains(digest) && resident.uses < uses && resident.benefitPerByte < benefit
        }.sorted { ($0.value.benefitPerByte, $0.key.hex) < ($1.value.benefitPerByte, $1.key.hex) }
        var victims: Set<ContentDigest> = []
        var freed = 0
        for (digest, resident) in colder where free + freed < requested {
            victims.insert(digest)
            freed += resident.bytes
        }
        guard free + freed >= requested else { return nil }
        for victim in victims { residents[victim] = nil }
        free += freed - requested
        plan.evicted += freed
        return victims
    }
}

extension WarmShard.Part {
    fileprivate var isNumber: Bool { if case .number = self { true } else { false } }
}

extension [WarmShard] {
    var bytes: Int { saturatingSum(\.bytes) }

    /// Seconds saved per byte; nil if there are no bytes.
    var benefitPerByte: Double? {
        let bytes = bytes
        return bytes > 0 ? reduce(0) { $0 + $1.benefit } / Double(bytes) : nil
    }
}
