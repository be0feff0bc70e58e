import Foundation
import GRDB
import Storage
import Support
import Tiers

extension Revision {
    /// Leases a layer in a tier: the tensors with that number, of every stack.
    ///
    /// A hit reads neither the catalog nor the file system. A miss loads the bytes; concurrent misses share one load.
    ///
    /// - Parameters:
    ///   - tier: where the bytes are leased.
    ///   - layer: the number of the layer.
    ///   - stack: leases only the tensors of this stack, such as `model.layers`.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``TierError/full(tier:requested:budget:inUse:)``,
    ///   ``StorageError/missing(path:digest:)``, ``StorageError/damaged(path:digest:expected:found:)``,
    ///   ``DeviceError``, `CancellationError`.
    public func lease(layer: Int, of stack: String? = nil, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(layer: layer, of: stack, in: tier).lease()
    }

    /// Leases one expert of a layer. Throws as ``lease(layer:of:in:)``.
    ///
    /// Of a tensor that stacks all experts of a layer, the lease has the expert's part as a tensor of the same name,
    /// whose ``TensorEntry/shape`` has no dimension of experts. Only these bytes are loaded into the tier; a stack that
    /// is not on disk is fetched whole.
    public func lease(expert: Int, ofLayer layer: Int, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.expert(layer: layer, expert), in: tier).lease()
    }

    /// Leases several experts of a layer with one lease: their tensors, and no others. Throws as
    /// ``lease(layer:of:in:)``.
    ///
    /// Of a tensor that stacks all experts, the lease has one tensor for each of them; ``TensorEntry/expert`` is the
    /// number.
    public func lease(experts: ClosedRange<Int>, ofLayer layer: Int, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.experts(layer: layer, experts), in: tier).lease()
    }

    /// Leases the tensors of an expert-parallel rank: those outside of the experts, and those of the experts with these
    /// numbers. Throws as ``lease(layer:of:in:)``.
    ///
    /// - Parameters:
    ///   - layers: the layers; nil means all tensors, those outside of the layers included.
    ///   - experts: the numbers of the experts, in every layer; the revision must have one of them, and a layer may have
    ///     none. A tensor that stacks all experts is included, whole, because engines expect it as in the file.
    ///     ``lease(experts:ofLayer:in:)`` loads only some of its experts.
    ///   - tier: where the bytes are leased.
    public func lease(
        layers: ClosedRange<Int>? = nil, withExperts experts: ClosedRange<Int>, in tier: Tier
    ) async throws -> Lease {
        try await fetchedGroup(.withExperts(experts, layers: layers), in: tier).lease()
    }

    /// Leases the tensors of a layer outside its experts: neither those of one expert nor those that stack experts.
    /// Throws as ``lease(layer:of:in:)``.
    public func lease(nonExpertsOfLayer layer: Int, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.nonExperts(layer: layer), in: tier).lease()
    }

    /// Leases the tensors that belong to no layer: embedding, final norm, head. Throws as ``lease(layer:of:in:)``.
    public func leaseRest(in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.rest, in: tier).lease()
    }

    /// Leases the tensors of that name, in every file. Throws as ``lease(layer:of:in:)``.
    public func lease(tensor name: String, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.tensor(ByteText(name)), in: tier).lease()
    }

    /// Leases several layers with one lease. Throws as ``lease(layer:of:in:)``.
    public func lease(layers: ClosedRange<Int>, in tier: Tier) async throws -> Lease {
        try await fetchedGroup(.layers(layers), in: tier).lease()
    }

    /// The blocking form of ``lease(layer:of:in:)``, for threads outside of Swift's cooperative pool. Cancelling
    /// `work` ends it with `CancellationError`.
    public func leaseBlocking(layer: Int, of stack: String? = nil, in tier: Tier, work: Work? = nil) throws -> Lease {
        try group(layer: layer, of: stack, in: tier, missWork(within: work)).leaseBlocking(work)
    }

    /// The blocking form of ``lease(experts:ofLayer:in:)``, for threads outside of Swift's cooperative pool. Cancelling
    /// `work` ends it with `CancellationError`.
    public func leaseBlocking(experts: ClosedRange<Int>, ofLayer layer: Int, in tier: Tier, work: Work? = nil) throws
        -> Lease
    {
        try view(in: tier).part(.experts(layer: layer, experts), missWork(within: work)).leaseBlocking(work)
    }

    /// The blocking form of ``lease(layers:withExperts:in:)``, for threads outside of Swift's cooperative pool. Cancelling
    /// `work` ends it with `CancellationError`.
    public func leaseBlocking(
        layers: ClosedRange<Int>? = nil, withExperts experts: ClosedRange<Int>, in tier: Tier, work: Work? = nil
    ) throws -> Lease {
        try view(in: tier).part(.withExperts(experts, layers: layers), missWork(within: work)).leaseBlocking(work)
    }

    /// The blocking form of ``lease(layers:in:)``, for threads outside of Swift's cooperative pool. Cancelling
    /// `work` ends it with `CancellationError`.
    public func leaseBlocking(layers: ClosedRange<Int>, in tier: Tier, work: Work? = nil) throws -> Lease {
        try view(in: tier).part(.layers(layers), missWork(within: work)).leaseBlocking(work)
    }

    /// The blocking form of ``lease(tensor:in:)``, for threads outside of Swift's cooperative pool. Cancelling
    /// `work` ends it with `CancellationError`.
    public func leaseBlocking(tensor name: String, in tier: Tier, work: Work? = nil) throws -> Lease {
        try view(in: tier).part(.tensor(ByteText(name)), missWork(within: work)).leaseBlocking(work)
    }

    /// Leases one tensor of one file. Blocks; for threads outside of Swift's cooperative pool. Cancelling
    /// `work` ends it with `CancellationError`.
    public func leaseBlocking(tensor name: String, ofFile file: String, in tier: Tier, work: Work? = nil) throws
        -> Lease
    {
        try view(in: tier).part(.tensorOfFile(ByteText(name), file: ByteText(file)), missWork(within: work))
            .leaseBlocking(work)
    }

    /// The blocking form of ``leaseRest(in:)``, for threads outside of Swift's cooperative pool. Cancelling
    /// `work` ends it with `CancellationError`.
    public func leaseRestBlocking(in tier: Tier, work: Work? = nil) throws -> Lease {
        try view(in: tier).part(.rest, missWork(within: work)).leaseBlocking(work)
    }

    /// Leases a part. Blocks; for threads outside of Swift's cooperative pool. Cancelling `work` ends it with
    /// `CancellationError`.
    package func leaseBlocking(_ part: RevisionView.Part, in tier: Tier, work: Work? = nil) throws -> Lease {
        try view(in: tier).part(part, missWork(within: work)).leaseBlocking(work)
    }

    /// Begins to lease a part, and returns at once. Requests that are begun one after the other load in this order.
    ///
    /// - Parameters:
    ///   - whenQueued: on a device, the lease is ready once the copies of its bytes are queued.
    ///   - work: cancelling it ends the fetch of bytes that were never fetched.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``DeviceError``. The request reports other errors.
    package func beginLease(
        _ part: RevisionView.Part, in tier: Tier, whenQueued: Bool = false, work: Work? = nil
    ) throws -> PendingLease {
        let view = try view(in: tier)
        guard view.isPending(part) else {
            return PendingLease(try view.part(part, store.missWork), whenQueued: whenQueued)
        }
        return PendingLease(within: work, whenQueued: whenQueued) { work in
            try self.view(in: tier).part(part, Work(within: self.store.missWork, work))
        }
    }

    /// Leases tensors in RAM for a consumer that may write: each in memory of its own (``PrivateLease``). Blocks.
    ///
    /// - Parameters:
    ///   - file: the tensors of this file; nil means those of all files.
    ///   - name: the tensors of this name; nil means all.
    ///   - reads: whether the bytes are read now, and not when they are accessed.
    ///   - work: cancelling it ends the call with `CancellationError`.
    package func leasePrivately(
        file: String? = nil, tensor name: String? = nil, withNeighbours: Bool = false, reads: Bool = true,
        work: Work? = nil
    ) throws -> PrivateLease {
        let view = try view(in: .ram)
        let part: RevisionView.Part =
            switch (file, name) {
            case (let file?, let name?) where withNeighbours: view.neighbours(of: name, in: file)
            case (nil, nil): .all
            case (let file?, nil): .file(ByteText(file))
            case (nil, let name?): .tensor(ByteText(name))
            case (let file?, let name?): .tensorOfFile(ByteText(name), file: ByteText(file))
            }
        return try view.part(part, missWork(within: work)).leasePrivately(reads: reads, work)
    }

    /// Streams layers in order: while one is in use, the next ones are loaded.
    ///
    /// - Parameters:
    ///   - tier: where the bytes are leased.
    ///   - layers: the numbers of the layers; nil means all.
    ///   - experts: of the experts of each layer, only those with these numbers; nil means all.
    ///   - ahead: the number of layers that may be loading, or loaded and not yet consumed.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` if the revision has none of these layers, or none of these
    ///   experts.
    public func stream(
        to tier: Tier, layers: ClosedRange<Int>? = nil, experts: ClosedRange<Int>? = nil, ahead: Int = 3
    ) throws -> LayerStream {
        let view = try view(in: tier)
        try view.check(layers: layers, experts: experts)
        let chosen: [LayerStream.Layer] = try view.layerNumbers.filter { layers?.contains($0) ?? true }.map { number in
            let part = RevisionView.Part(layer: number, experts: experts)
            guard view.isPending(part) else { return .group(try view.part(part, store.missWork)) }
            return .toFetch { work in try self.view(in: tier).part(part, Work(within: self.store.missWork, work)) }
        }
        guard !chosen.isEmpty else { throw StorageError.notFound(kind: "layer", name: name) }
        return LayerStream(layers: chosen, ahead: ahead)
    }

    /// For each layer, how much of it is resident in a tier now.
    public func residency(in tier: Tier) throws -> [LayerResidency] { try view(in: tier).residency }

    private func group(layer: Int, of stack: String?, in tier: Tier, _ work: Work) throws -> ShardGroup {
        let view = try view(in: tier)
        return try stack.map { try view.part(.stackLayer(ByteText($0), layer), work) } ?? view.layer(layer, work)
    }

    private func fetchedGroup(layer: Int, of stack: String?, in tier: Tier) async throws -> ShardGroup {
        if let stack { return try await fetchedGroup(.stackLayer(ByteText(stack), layer), in: tier) }
        let view = try view(in: tier)
        let part = RevisionView.Part.layers(layer...layer)
        return view.isPending(part) ? try await fetchedGroup(part, in: tier) : try view.layer(layer, store.missWork)
    }

    /// A part's group. Bytes that were never fetched are fetched on another thread; cancelling the task ends the fetch.
    func fetchedGroup(_ part: RevisionView.Part, in tier: Tier) async throws -> ShardGroup {
        let view = try view(in: tier)
        guard view.isPending(part) else { return try view.part(part, store.missWork) }
        let work = Work(within: store.missWork)
        return try await work.run { try view.part(part, work) }
    }

    func view(in tier: Tier) throws -> RevisionView {
        try views.view(in: tier) {
            RevisionView(
                try places(), in: try store.tiers.open(tier), name: name, hold: hold, formats: try formats()
            ) { [weak self] pending, work in
                // Callers of the view hold the revision, so this is never nil.
                guard let self else { return [] }
                try fetch(FetchSelection(pending), work)
                return try places()
            }
        }
    }
}
