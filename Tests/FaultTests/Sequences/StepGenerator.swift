import Files
import TestSupport

/// Chooses the next step of a sequence: mostly one that has an effect in the present state.
struct StepGenerator {
    private var random: Random
    /// Whether commands are killed.
    private let kills: Bool
    /// A killed command is mostly run again.
    private var killed: SequenceCommand?

    static let models = ["org/a", "org/b", "org/c"]
    static let refs = ["main", "prod", "test"]
    /// Calls at which commands are killed, with the largest ordinals.
    private static let calls = [
        ("openat", 160), ("pwrite64", 50), ("fdatasync", 24), ("fsync", 16), ("rename", 12), ("unlink", 8),
        ("mkdir", 8),
        ("flock", 24), ("fchmod", 10), ("write", 12), ("ftruncate", 4),
    ]

    init(seed: UInt64, kills: Bool) {
        random = Random(seed: seed)
        self.kills = kills
    }

    private mutating func number(_ count: Int) -> Int { Int.random(in: 0..<max(count, 1), using: &random) }
    private mutating func chance(_ percent: Int) -> Bool { number(100) < percent }

    mutating func next(_ model: SequenceModel, _ directory: SequenceDirectory) -> Step {
        if let command = killed, chance(70) {
            killed = nil
            return .run(command)
        }
        for _ in 0..<64 {
            let step = choose(model, directory)
            switch step {
            case .event(let event): if model.allows(event, directory) { return step }
            case .run(let command), .kill(let command, _, _, _), .fail(let command, _, _):
                if model.allows(command) { return kill(command) }
            }
        }
        return .event(.expireChecks)
    }

    private mutating func kill(_ command: SequenceCommand) -> Step {
        guard kills, chance(16) else { return .run(command) }
        killed = command
        let (call, most) = Self.calls[number(Self.calls.count)]
        // Small ordinals are more frequent, because most runs have few calls.
        return .kill(command, call: call, ordinal: 1 + min(number(most), number(most)))
    }

    private mutating func choose(_ model: SequenceModel, _ directory: SequenceDirectory) -> Step {
        // A step that ends an exceptional state follows soon.
        if !directory.isMounted, chance(40) { return .event(.mount) }
        if model.newest != nil, chance(40) { return .run(chance(10) ? .discardNewer : chance(20) ? .rebuild : .merge) }
        if !model.suspects.isEmpty, chance(15) { return .event(.restoreShards) }
        if model.hasLoss, chance(12) { return .run(.discardNewer) }
        if !model.held.isEmpty, chance(15) { return .event(.release) }
        if !model.possibleBlocks.isEmpty, chance(8) { return .run(blocks(model)) }
        if model.hub?.isOpen == false, chance(25) { return .event(.openHub) }
        if (0..<SequenceDirectory.places).allSatisfy({ directory.file(0, ofPlace: $0) == nil }), chance(85) {
            return .event(.write(number(SequenceDirectory.places), variant: number(SequenceFiles.variants)))
        }
        let place = self.place(directory)
        if model.listing.revisions.count < 2, chance(60) {
            return chance(40)
                ? .event(.write(place, variant: number(SequenceFiles.variants))) : .run(importing(directory))
        }
        switch number(100) {
        case 0..<9: return .event(.write(place, variant: number(SequenceFiles.variants)))
        case 9..<30: return .run(importing(directory))
        case 30..<34: return fromHub(model, place)
        case 34..<39: return .event(change(place))
        case 39..<41: return .event(chance(50) ? .away(place) : .back(place))
        case 41..<50: return .run(.evict(chance(50) ? nil : 1 + number(20_000)))
        case 50..<52: return .event(chance(70) ? .expireChecks : .expireGracePeriod)
        case 52: return .event(.hold(revision(model)))
        case 53..<58: return .run(.export(revision(model)))
        case 58..<60: return .run(.putBlocks(revision(model), prompt: number(SequencePrompt.count)))
        case 60..<65: return .run(.remove(chance(40) ? [name(model)] : [revision(model)], force: chance(20)))
        case 65..<68: return .run(.prune(keepLast: chance(50) ? number(3) : nil, includeReferenced: chance(30)))
        case 68..<74:
            return .run(.collect(grace: chance(70) ? 0 : nil, downTo: chance(20) ? number(30_000) : nil))
        case 74..<78: return .run(naming(model))
        case 78..<85: return .run(origins(model, place))
        case 85..<88: return .run(.verify(origins: chance(40)))
        case 88..<91: return .run(chance(60) ? .rebuild : .merge)
        case 91..<94: return .run(.backUp)
        case 94..<96: return .event(.restore)
        case 96: return .event(.unmount)
        case 97:
            return .run(
                chance(60)
                    ? .quota(chance(60) ? 10_000 + number(60_000) : nil)
                    : .putBlocks(revision(model), prompt: number(SequencePrompt.count)))
        default: return .event(damage())
        }
    }

    /// A directory; mostly one with files.
    private mutating func place(_ directory: SequenceDirectory) -> Int {
        let full = (0..<SequenceDirectory.places).filter { directory.file(0, ofPlace: $0) != nil }
        return full.isEmpty || chance(12) ? number(SequenceDirectory.places) : full[number(full.count)]
    }

    private mutating func importing(_ directory: SequenceDirectory) -> SequenceCommand {
        let place = place(directory)
        // An origin is mostly the directory itself.
        let origin = chance(45) ? (chance(70) ? place : number(SequenceDirectory.places)) : nil
        return .importing(
            place, model: Self.models[number(Self.models.count)],
            ref: chance(25) ? Self.refs[number(Self.refs.count)] : nil, move: chance(25), origin: origin,
            trust: origin != nil && chance(8))
    }

    private mutating func naming(_ model: SequenceModel) -> SequenceCommand {
        switch number(8) {
        case 0..<3: .tag(revision(model), ref: Self.refs[number(Self.refs.count)])
        case 3:
            .untag("\(Self.models[number(Self.models.count)])@\(Self.refs[number(Self.refs.count)])")
        case 4..<6: .pin(revision(model))
        default: .unpin(revision(model))
        }
    }

    /// A pull, or a change of the hub.
    private mutating func fromHub(_ model: SequenceModel, _ place: Int) -> Step {
        guard let hub = model.hub, !hub.revisions.isEmpty else { return .event(.publish(place)) }
        switch number(12) {
        case 0, 1: return .event(.publish(place))
        case 2: return .event(.withdraw)
        case 3: return .event(.closeHub)
        case 4, 5:
            let pending = model.listing.revisions.keys.filter { model.isPending($0) }
            let key = pending.min { $0.description < $1.description }
            guard let key else { return .run(.pull(layer: nil)) }
            return .run(.export("\(key.model)@\(key.digest.hex.prefix(16))"))
        default: return .run(.pull(layer: chance(50) ? number(3) : nil))
        }
    }

    /// A use of KV blocks: mostly a read from a revision that may have some.
    private mutating func blocks(_ model: SequenceModel) -> SequenceCommand {
        let prompt = number(SequencePrompt.count)
        switch number(8) {
        case 0: return .evictBlocks(chance(50) ? nil : 1 + number(600))
        case 1, 2: return .putBlocks(revision(model), prompt: prompt)
        default:
            let keys = model.listing.revisions.keys.filter { model.possibleBlocks[$0.digest] != nil }
                .sorted { $0.description < $1.description }
            guard !keys.isEmpty, chance(80) else { return .getBlocks(revision(model), prompt: prompt) }
            let key = keys[number(keys.count)]
            return .getBlocks("\(key.model)@\(key.digest.hex.prefix(16))", prompt: prompt)
        }
    }

    private mutating func origins(_ model: SequenceModel, _ place: Int) -> SequenceCommand {
        switch number(8) {
        case 0..<4: .addOrigin(chance(50) ? name(model) : revision(model), place, trust: chance(8))
        case 4..<6: .removeOrigin(chance(50) ? name(model) : revision(model), place, force: chance(30))
        default: .checkOrigins
        }
    }

    private mutating func change(_ place: Int) -> SequenceEvent {
        switch number(9) {
        case 0, 1: .replace(place, file: number(6))
        case 2, 3: .delete(place, file: number(6))
        case 4: .link(place, file: number(6))
        default: .edit(place, file: number(6))
        }
    }

    private mutating func damage() -> SequenceEvent {
        switch number(5) {
        case 0, 1: .loseShard(number(40))
        case 2, 3: .corrupt(number(40))
        default: .loseDescription(number(10))
        }
    }

    private mutating func name(_ model: SequenceModel) -> String {
        let names = model.listing.models.sorted()
        return names.isEmpty ? Self.models[0] : names[number(names.count)]
    }

    /// A revision that exists, if there is one.
    private mutating func revision(_ model: SequenceModel) -> String {
        let keys = model.listing.revisions.keys.sorted { $0.description < $1.description }
        if keys.isEmpty || chance(3) { return "\(Self.models[0])@~7" }
        let key = keys[number(keys.count)]
        guard let revision = model.listing.revisions[key], let version = revision.version, chance(80) else {
            return "\(key.model)@\(key.digest.hex.prefix(16))"
        }
        if let ref = revision.refs.sorted().first, chance(40) {
            return ref == "main" && chance(50) ? key.model : "\(key.model)@\(ref)"
        }
        return "\(key.model)@~\(version)"
    }
}
