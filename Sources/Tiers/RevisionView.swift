import Files
import ModelFormats
import Storage
import Support
import Synchronization

/// The tensors of a revision and their shards in a tier: maps a layer, an expert or a tensor to the shards that it
/// needs. Created once for each revision and tier, from one read of the catalog.
package final class RevisionView: Sendable {
    /// A selection of tensors.
    package enum Part: Hashable {
        case all
        /// The tensors outside all layers: embedding, final norm, head.
        case rest
        case layers(ClosedRange<Int>)
        case stackLayer(ByteText, Int)
        case expert(layer: Int, Int)
        /// The tensors of these experts of a layer, and of no others. Here and for one expert, a tensor that stacks
        /// experts is divided: each of them is a tensor, and resident alone.
        case experts(layer: Int, ClosedRange<Int>)
        /// The tensors of layers (nil: all tensors), without those of experts with other numbers. A tensor that stacks
        /// experts is among them, whole.
        case withExperts(ClosedRange<Int>, layers: ClosedRange<Int>?)
        /// The tensors of a layer outside its experts, and outside tensors that stack them.
        case nonExperts(layer: Int)
        case tensor(ByteText)
        case tensorOfFile(ByteText, file: ByteText)
        case file(ByteText)
        /// The tensors of a file that lie in a shard.
        case shard(ContentDigest, file: ByteText)
    }

    package let tier: MemoryTier
    /// The numbers of the layers, in order.
    package let layerNumbers: [Int]
    /// The most parts that are remembered: there are many ranges of experts.
    private static let mostParts = 1 << 16

    private let name: String
    private let tensors: [LeasedTensor]
    private let hasPending: Bool
    /// The formats of the files.
    private let formats: [ByteText: FileFormat]
    /// Fetches tensors whose bytes were never fetched, and returns their placements.
    private let fetch: @Sendable (_ pending: [TensorEntry], Work) throws -> [TensorPlacement]
    private let layers: [Int: Layer]
    /// The positions in `tensors`, by name.
    private let positionsByName = OnDemand<[ByteText: [Int]]>()
    /// The positions in `tensors`, by shard.
    private let positionsByShard = OnDemand<[ContentDigest: [Int]]>()
    private let parts = Mutex<[Part: ShardGroup]>([:])
    private let numbers = OnDemand<TensorNumbers>()
    private let hold: RevisionHold

    /// The tensors of a layer. Their group is created at its first use: a lease of all tensors needs none.
    private final class Layer: Sendable {
        /// Their positions in `tensors`.
        let positions: [Int]
        let isPending: Bool
        let group = AtomicLazyReference<ShardGroup>()

        init(_ positions: [Int], isPending: Bool) {
            self.positions = positions
            self.isPending = isPending
        }
    }

    /// - Parameters:
    ///   - places: the tensors, and the sizes of their shards.
    ///   - formats: the formats of the files, by path.
    ///   - fetch: fetches tensors whose bytes were never fetched, and returns the placements of all tensors in their
    ///     files.
    package init(
        _ places: [TensorPlacement], in tier: MemoryTier, name: String, hold: RevisionHold,
        formats: [ByteText: FileFormat] = [:],
        fetch: @escaping @Sendable ([TensorEntry], Work) throws -> [TensorPlacement] = { _, _ in [] }
    ) {
        self.tier = tier
        self.name = name
        self.hold = hold
        self.formats = formats
        self.fetch = fetch
        let model = hold.model
        var last: ResidentShard?
        // Each shard is looked up once under the tier's lock, which the loads also use.
        var shards: [ContentDigest: ResidentShard] = [:]
        let tensors = places.map { place in
            guard let digest = place.entry.shard else { return LeasedTensor(entry: place.entry, shard: nil) }
            // Neighbours are often in one shard.
            if let last, last.digest == digest { return LeasedTensor(entry: place.entry, shard: last) }
            let shard =
                shards[digest]
                ?? tier.residentShard(
                    digest, bytes: place.shardBytes, layer: place.entry.layer, kind: place.shardKind, model: model)
            shards[digest] = shard
            last = shard
            return LeasedTensor(entry: place.entry, shard: shard)
        }
        self.tensors = tensors
        let hasPending = tensors.contains(where: \.isPending)
        self.hasPending = hasPending
        var positions: [Int: [Int]] = [:]
        for (position, tensor) in tensors.enumerated() {
            if let layer = tensor.entry.layer { positions[layer, default: []].append(position) }
        }
        layers = positions.mapValues { positions in
            Layer(positions, isPending: hasPending && positions.contains { tensors[$0].isPending })
        }
        layerNumbers = positions.keys.sorted()
    }

    /// The group of a layer; nil if there is no such layer, or if it is not fully fetched.
    private func group(ofLayer number: Int) -> ShardGroup? {
        guard let layer = layers[number], !layer.isPending else { return nil }
        if let known = layer.group.load() { return known }
        return layer.group.storeIfNil(
            ShardGroup(layer.positions.map { tensors[$0] }, layer: number, in: tier, hold: hold))
    }

    /// Whether bytes must be fetched before the part can be leased.
    package func isPending(_ part: Part) -> Bool {
        hasPending && parts.withLock { $0[part] } == nil
            && tensors.contains { $0.isPending && part.contains($0.entry, stacked: stack(in: $0.entry)) }
    }

    /// The residency of each layer.
    package var residency: [LayerResidency] {
        layerNumbers.map { number in
            guard let shards = group(ofLayer: number)?.shards else {
                // The layer is not fully fetched, so only its tensors are known, not all its shards.
                let bytes = tensors.saturatingSum { $0.entry.layer == number ? $0.entry.bytes : 0 }
                return LayerResidency(layer: number, bytes: bytes, resident: 0, loading: 0)
            }
            return LayerResidency(
                layer: number, bytes: shards.saturatingSum(\.bytes),
                resident: shards.saturatingSum { $0.phase == .ready ? $0.bytes : 0 },
                loading: shards.saturatingSum { $0.phase.isInFlight ? $0.bytes : 0 })
        }
    }

    /// The shards of a layer. Blocks while its bytes are fetched.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``; the error of the fetch.
    package func layer(_ number: Int, _ work: Work) throws -> ShardGroup {
        try group(ofLayer: number) ?? part(.layers(number...number), work)
    }

    /// Checks numbers of layers and experts against those of the revision (``TensorNumbers``).
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    package func check(layers: ClosedRange<Int>? = nil, experts: ClosedRange<Int>? = nil) throws {
        guard layers != nil || experts != nil else { return }
        let numbers = self.numbers.get {
            TensorNumbers(tensors.lazy.map(\.entry)) { stack(in: $0) }
        }
        try numbers.check(layers: layers, experts: experts, of: name)
    }

    /// The shards of a part. Blocks while its bytes are fetched.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``; the error of the fetch.
    package func part(_ part: Part, _ work: Work) throws -> ShardGroup {
        if case .layers(let range) = part, range.lowerBound == range.upperBound,
            let group = group(ofLayer: range.lowerBound)
        {
            return group
        }
        if let known = parts.withLock({ $0[part] }) { return known }
        switch part {
        case .layers(let layers): try check(layers: layers)
        case .withExperts(let experts, let layers): try check(layers: layers, experts: experts)
        case .experts(_, let experts): try check(experts: experts)
        case .all, .rest, .stackLayer, .expert, .nonExperts, .tensor, .tensorOfFile, .file, .shard: break
        }
        // A model has tens of thousands of experts, so the part of each is found among the tensors of its layer.
        let positions =
            part.layer.flatMap { layers[$0]?.positions } ?? part.tensorName.map { named($0) } ?? positions(in: part)
        let candidates = positions?.map { tensors[$0] } ?? tensors
        let wanted =
            part == .all ? candidates : candidates.filter { part.contains($0.entry, stacked: stack(in: $0.entry)) }
        let whole = try fetched(wanted, work)
        let chosen = part.onlyExperts == nil ? whole : whole.flatMap { divided($0, for: part) }
        guard !chosen.isEmpty else {
            throw StorageError.notFound(
                kind: part.kind, name: "\(name) \(part)",
                detail: tensors.isEmpty ? "None of its files has tensors that can be read." : "")
        }
        return parts.withLock { parts in
            if let known = parts[part] { return known }
            let group = ShardGroup(chosen, layer: part.layer, in: tier, hold: hold)
            if parts.count >= Self.mostParts { parts.removeAll() }
            parts[part] = group
            return group
        }
    }

    /// The part with the tensors of a file that lie in the same shard as one of them; that tensor alone if its bytes were never
    /// fetched.
    package func neighbours(of name: String, in file: String) -> Part {
        let file = ByteText(file)
        let position = named(ByteText(name)).first { ByteText(tensors[$0].entry.file) == file }
        guard let digest = position.flatMap({ tensors[$0].entry.shard }) else {
            return .tensorOfFile(ByteText(name), file: file)
        }
        return .shard(digest, file: file)
    }

    /// Whether the bytes of a tensor are on disk, in the file if it is not nil.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    package func isStored(tensor name: String, in file: String?) throws -> Bool {
        let position = named(ByteText(name)).first { position in
            file.map { ByteText($0) == ByteText(tensors[position].entry.file) } ?? true
        }
        guard let position else { throw StorageError.notFound(kind: "tensor", name: "\(self.name) \(name)") }
        let tensor = tensors[position]
        guard tensor.entry.bytes > 0 else { return true }
        // What was fetched since the view was made counts as fetched only for the next view.
        guard let shard = tensor.shard else { return false }
        return try FileSystem.status(tier.path(shard.digest))?.bytes == shard.shardBytes
    }

    private func named(_ name: ByteText) -> [Int] {
        positionsByName.get {
            Dictionary(grouping: tensors.indices) { ByteText(tensors[$0].entry.name) }
        }[name] ?? []
    }

    /// The positions of the tensors in the shard of a part; nil for parts of other kinds.
    private func positions(in part: Part) -> [Int]? {
        guard case .shard(let digest, _) = part else { return nil }
        return positionsByShard.get {
            var positions: [ContentDigest: [Int]] = [:]
            for (position, tensor) in tensors.enumerated() {
                if let digest = tensor.entry.shard { positions[digest, default: []].append(position) }
            }
            return positions
        }[digest] ?? []
    }

    /// The experts that a tensor stacks; nil if it is no such tensor.
    private func stack(in entry: TensorEntry) -> ExpertStack? {
        if entry.expert != nil { return nil }
        return entry.expertStack(formats[ByteText(entry.file)] ?? .other)
    }

    /// The experts of a part that a tensor stacks, each as a tensor of its own; the tensor itself for any other part.
    private func divided(_ tensor: LeasedTensor, for part: Part) -> [LeasedTensor] {
        guard let wanted = part.onlyExperts, let stacked = stack(in: tensor.entry) else { return [tensor] }
        return wanted.clamped(to: 0...stacked.experts - 1).compactMap { number -> LeasedTensor? in
            guard let entry = tensor.entry.part(ofExpert: number, in: stacked) else { return nil }
            let range = entry.shardOffset..<entry.shardOffset + entry.bytes
            return LeasedTensor(entry: entry, shard: tensor.shard.map { tier.residentShard(of: range, in: $0) })
        }
    }

    /// A path and a name: neither contains NUL.
    private static func key(_ entry: TensorEntry) -> ByteText { ByteText("\(entry.file)\u{0}\(entry.name)") }

    private func fetched(_ tensors: [LeasedTensor], _ work: Work) throws -> [LeasedTensor] {
        let pending = hasPending ? tensors.filter(\.isPending).map(\.entry) : []
        if pending.isEmpty { return tensors }
        let places = Dictionary(try fetch(pending, work).map { (Self.key($0.entry), $0) }) { first, _ in first }
        return try tensors.map { tensor in
            guard tensor.isPending else { return tensor }
            guard let place = places[Self.key(tensor.entry)], let digest = place.entry.shard
            else {
                throw StorageError.notFound(
                    kind: "tensor", name: "\(name) \(tensor.entry.name)", detail: "Its bytes were never fetched.")
            }
            return LeasedTensor(
                entry: place.entry,
                shard: tier.residentShard(
                    digest, bytes: place.shardBytes, layer: place.entry.layer, kind: place.shardKind, model: hold.model)
            )
        }
    }
}

extension LeasedTensor {
    /// Whether its bytes were never fetched.
    fileprivate var isPending: Bool { shard == nil && entry.bytes > 0 }
}
