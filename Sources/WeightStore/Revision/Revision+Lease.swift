import Foundation
import GRDB
import Storage
import Support
import Tiers

extension Revision {
    /// A layer, in a tier: the tensors with that number, of every stack. If its bytes are there, neither the catalog
    /// nor the file system is asked; if not, they are brought in, once for all who ask at the same time.
    ///
    /// - Parameter stack: only the tensors of this one, such as `model.layers`.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``TierError/full(tier:requested:budget:inUse:)``,
    ///   ``StorageError/missing(path:digest:)``, ``StorageError/damaged(path:digest:expected:found:)``, ``DeviceError``,
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
    public func leaseBlocking(layer: Int, of stack: String? = nil, in tier: Tier) throws -> Lease {
        try group(layer: layer, of: stack, in: tier, store.misses).leaseBlocking()
    }

    /// As ``lease(layers:in:)``, for callers on threads of their own: blocks.
    public func leaseBlocking(layers: ClosedRange<Int>, in tier: Tier) throws -> Lease {
        try view(in: tier).part(.layers(layers), store.misses).leaseBlocking()
    }

    /// As ``lease(in:)``, for callers on threads of their own: blocks.
    public func leaseBlocking(in tier: Tier) throws -> Lease {
        try view(in: tier).part(.all, store.misses).leaseBlocking()
    }

    /// As ``lease(tensor:in:)``, for callers on threads of their own: blocks.
    public func leaseBlocking(tensor name: String, in tier: Tier) throws -> Lease {
        try view(in: tier).part(.tensor(name), store.misses).leaseBlocking()
    }

    /// One tensor of one file, for callers on threads of their own: blocks.
    public func leaseBlocking(tensor name: String, ofFile file: String, in tier: Tier) throws -> Lease {
        try view(in: tier).part(.tensorOfFile(name, file: file), store.misses).leaseBlocking()
    }

    /// All tensors of a file, for callers on threads of their own: blocks.
    public func leaseBlocking(file: String, in tier: Tier) throws -> Lease {
        try view(in: tier).part(.file(file), store.misses).leaseBlocking()
    }

    /// As ``leaseRest(in:)``, for callers on threads of their own: blocks.
    public func leaseRestBlocking(in tier: Tier) throws -> Lease {
        try view(in: tier).part(.rest, store.misses).leaseBlocking()
    }

    /// The layers in order, those after the one in use being on their way.
    ///
    /// - Parameters:
    ///   - layers: which; nil means all.
    ///   - ahead: how many may be under way or wait to be taken.
    public func stream(to tier: Tier, layers: ClosedRange<Int>? = nil, ahead: Int = 3) throws -> LayerStream {
        let view = try view(in: tier)
        let chosen: [LayerStream.Layer] = try view.layerNumbers.filter { layers?.contains($0) ?? true }.map { number in
            guard view.isPending(.layers(number...number)) else { return .here(try view.layer(number, store.misses)) }
            return .toFetch { work in try self.view(in: tier).layer(number, Work(within: self.store.misses, work)) }
        }
        guard !chosen.isEmpty else {
            throw StorageError.notFound(
                kind: "layer", name: "\(name) layers \(layers.map { "\($0)" } ?? "")")
        }
        return LayerStream(layers: chosen, ahead: ahead)
    }

    /// How much of each layer is in a tier now.
    public func residency(in tier: Tier) throws -> [LayerResidency] { try view(in: tier).residency }

    private func group(layer: Int, of stack: String?, in tier: Tier, _ work: Work) throws -> ShardGroup {
        let view = try view(in: tier)
        return try stack.map { try view.part(.stackLayer($0, layer), work) } ?? view.layer(layer, work)
    }

    private func fetchedGroup(layer: Int, of stack: String?, in tier: Tier) async throws -> ShardGroup {
        if let stack { return try await fetchedGroup(.stackLayer(stack, layer), in: tier) }
        let view = try view(in: tier)
        let part = RevisionView.Part.layers(layer...layer)
        return view.isPending(part) ? try await fetchedGroup(part, in: tier) : try view.layer(layer, store.misses)
    }

    /// A part's group. Bytes that were never fetched are fetched on a thread of its own; the fetch ends with the task.
    private func fetchedGroup(_ part: RevisionView.Part, in tier: Tier) async throws -> ShardGroup {
        let view = try view(in: tier)
        guard view.isPending(part) else { return try view.part(part, store.misses) }
        let work = Work(within: store.misses)
        return try await work.run { try view.part(part, work) }
    }

    func view(in tier: Tier) throws -> RevisionView {
        try views.view(in: tier) {
            RevisionView(try places(), in: try store.tiers.open(tier), name: name, hold: hold) {
                [weak self] pending, work in
                // A caller of the view has the revision.
                guard let self else { return [] }
                try fetch(FetchSelection(pending), work)
                return try places()
            }
        }
    }
}
