import DeviceMemory
import Foundation
import GRDB

extension Store {
    /// Opens a tier. Without this, it is opened with the default options at its first use.
    ///
    /// - Throws: ``DeviceError``; ``StoreError/invalid(what:value:reason:)`` if the tier is open already.
    public func open(_ tier: Tier, _ options: TierOptions = TierOptions()) throws {
        guard !tiers.all.contains(where: { $0.tier == tier }) else {
            throw StoreError.invalid(what: "tier to open", value: "\(tier)", reason: "it is open already")
        }
        _ = try tiers.open(tier, options)
    }

    /// How full the open tiers are.
    public var gauges: [TierGauge] { tiers.all.map(\.gauge).sorted { $0.tier.description < $1.tier.description } }

    /// Evicts all that no lease holds.
    ///
    /// - Returns: bytes.
    @discardableResult
    public func clear(_ tier: Tier) throws -> Int { try tiers.open(tier).clear() }
}

extension Revision {
    /// A layer, in a tier: the tensors with that number, of every stack. If its bytes are there, neither the catalog
    /// nor the file system is asked; if not, they are brought in, once for all who ask at the same time.
    ///
    /// - Parameter stack: only the tensors of this one, such as `model.layers`.
    /// - Throws: ``StoreError/notFound(kind:name:hint:)``, ``StoreError/tierFull(tier:asked:budget:leased:)``,
    ///   ``StoreError/missing(path:digest:)``, ``StoreError/damaged(path:digest:expected:found:)``, ``DeviceError``,
    ///   `CancellationError`.
    public func lease(layer: Int, of stack: String? = nil, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(layer: layer, of: stack, in: tier).lease()
    }

    /// One expert of a layer.
    public func lease(expert: Int, ofLayer layer: Int, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.expert(layer: layer, expert), in: tier).lease()
    }

    /// What a layer has beside its experts.
    public func lease(sharedOfLayer layer: Int, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.shared(layer: layer), in: tier).lease()
    }

    /// What belongs to no layer: embedding, final norm, head.
    public func leaseRest(in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.rest, in: tier).lease()
    }

    public func lease(tensor name: String, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.tensor(name), in: tier).lease()
    }

    /// Several layers at once.
    public func lease(layers: ClosedRange<Int>, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.layers(layers), in: tier).lease()
    }

    /// The whole revision.
    public func lease(in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.all, in: tier).lease()
    }

    /// As ``lease(layer:of:in:)``, for callers on threads of their own: blocks.
    public func waitForLease(layer: Int, of stack: String? = nil, in tier: Tier) throws -> Lease {
        try group(layer: layer, of: stack, in: tier).leaseBlocking()
    }

    /// As ``lease(layers:in:)``, for callers on threads of their own: blocks.
    public func waitForLease(layers: ClosedRange<Int>, in tier: Tier) throws -> Lease {
        try view(in: tier).part(.layers(layers)).leaseBlocking()
    }

    /// As ``lease(in:)``, for callers on threads of their own: blocks.
    public func waitForLease(in tier: Tier) throws -> Lease {
        try view(in: tier).part(.all).leaseBlocking()
    }

    /// As ``lease(tensor:in:)``, for callers on threads of their own: blocks.
    public func waitForLease(tensor name: String, in tier: Tier) throws -> Lease {
        try view(in: tier).part(.tensor(name)).leaseBlocking()
    }

    /// One tensor of one file, for callers on threads of their own: blocks.
    public func waitForLease(tensor name: String, ofFile file: String, in tier: Tier) throws -> Lease {
        try view(in: tier).part(.tensorOfFile(name, file: file)).leaseBlocking()
    }

    /// All tensors of a file, for callers on threads of their own: blocks.
    public func waitForLease(file: String, in tier: Tier) throws -> Lease {
        try view(in: tier).part(.file(file)).leaseBlocking()
    }

    /// As ``leaseRest(in:)``, for callers on threads of their own: blocks.
    public func waitForLeaseOfRest(in tier: Tier) throws -> Lease {
        try view(in: tier).part(.rest).leaseBlocking()
    }

    /// The layers in order, those after the one in use being on their way.
    ///
    /// - Parameters:
    ///   - layers: which; nil means all.
    ///   - ahead: how many may be under way or wait to be taken.
    public func stream(to tier: Tier, layers: ClosedRange<Int>? = nil, ahead: Int = 3) throws -> LayerStream {
        let view = try view(in: tier)
        let chosen: [LayerStream.Layer] = try view.layerNumbers.filter { layers?.contains($0) ?? true }.map { number in
            guard view.isPending(.layers(number...number)) else { return .here(try view.layer(number)) }
            return .toFetch { try self.view(in: tier).layer(number) }
        }
        guard !chosen.isEmpty else {
            throw StoreError.notFound(
                kind: "layer", name: "\(name) layers \(layers.map { "\($0)" } ?? "")",
                hint: "\"weightstore show \(name)\" lists them.")
        }
        return LayerStream(layers: chosen, ahead: ahead)
    }

    /// How much of each layer is in a tier now.
    public func residency(in tier: Tier) throws -> [LayerResidency] { try view(in: tier).residency }

    private func group(layer: Int, of stack: String?, in tier: Tier) throws -> ShardGroup {
        let view = try view(in: tier)
        return try stack.map { try view.part(.stackLayer($0, layer)) } ?? view.layer(layer)
    }

    private func fetchedGroup(layer: Int, of stack: String?, in tier: Tier) async throws -> ShardGroup {
        if let stack { return try await fetchedGroup(.stackLayer(stack, layer), in: tier) }
        let view = try view(in: tier)
        let part = RevisionView.Part.layers(layer...layer)
        return view.isPending(part) ? try await fetchedGroup(part, in: tier) : try view.layer(layer)
    }

    /// A part's group, off Swift's own threads while bytes are fetched that have never come.
    private func fetchedGroup(_ part: RevisionView.Part, in tier: Tier) async throws -> ShardGroup {
        let view = try view(in: tier)
        guard view.isPending(part) else { return try view.part(part) }
        return try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try view.part(part) }) }
        }
    }

    func view(in tier: Tier) throws -> RevisionView {
        try views[tier.slot].get {
            RevisionView(try places(), in: try store.tiers.open(tier), name: name, hold: hold) { [weak self] pending in
                // Whoever asks the view has the revision.
                guard let self else { return [] }
                try fetch(FetchSelection(pending))
                return try places()
            }
        }
    }
}

extension Tier {
    /// How many tiers a revision can be in.
    static let slots = 18

    /// The tier's number: RAM, the host device, then the CUDA devices.
    fileprivate var slot: Int {
        switch self {
        case .ram: 0
        case .device(.host): 1
        case .device(.cuda(let ordinal)): min(2 + ordinal, Self.slots - 1)
        }
    }
}
