import DeviceMemory
import Storage
import Synchronization

/// Tensors whose bytes are in a tier, and stay there as long as the lease does.
///
/// A lease is given back once: by ``release()``, or with the last reference to it. Until then none of its shards is
/// evicted, and its revision is not removed. Its bytes stay readable as long as it is held, whatever becomes of the
/// store.
public final class Lease: Sendable {
    public let tier: Tier
    /// By file and name.
    public var tensors: [LeasedTensor] { group.tensors }
    /// The sum of the tensors' bytes.
    public var bytes: Int { group.bytes }

    /// The layer, if the lease is on one.
    public var layer: Int? { group.layer }

    package let group: ShardGroup
    private let isHeld = Atomic<Bool>(true)

    /// Takes over leases on all shards of the group.
    ///
    /// - Parameter isUse: false if it only warms.
    package init(_ group: ShardGroup, isUse: Bool = true) {
        self.group = group
        tier = group.tier.tier
        if isUse { group.tier.record(group.shards) }
    }

    deinit { release() }

    /// Gives the lease back now. Its tensors must not be read any more. A second call does nothing.
    public func release() {
        guard isHeld.exchange(false, ordering: .acquiringAndReleasing) else { return }
        group.release()
    }

    package func preconditionHeld() { precondition(isHeld.load(ordering: .acquiring), "the lease was given back") }

    /// A lease of its own on one of the tensors, which must be this lease's, and held by it: the others may go when this
    /// lease ends.
    public func share(_ tensor: LeasedTensor) -> Lease {
        preconditionHeld()
        guard let lease = group.one(tensor).leaseIfReady() else {
            preconditionFailure("a leased shard is not in its tier")
        }
        return lease
    }

    /// The tensor of a name.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func tensor(_ name: String) throws -> LeasedTensor {
        guard let tensor = tensors.first(where: { $0.entry.name == name }) else {
            throw StorageError.notFound(kind: "tensor", name: name, detail: "The lease does not hold it.")
        }
        return tensor
    }

    /// A tensor's bytes in RAM, for the time of the call.
    ///
    /// - Parameter body: must not keep the bytes.
    public func withUnsafeBytes<Result>(
        of tensor: LeasedTensor, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        preconditionHeld()
        guard let shard = tensor.shard else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        let range = tensor.entry.shardOffset..<tensor.entry.shardOffset + tensor.entry.bytes
        return try shard.payload.withUnsafeBytes(range, body)
    }

    /// Where a tensor's bytes are: an address in this process for `ram`, in the device's memory for a device. Valid as
    /// long as the lease is held. Nil for a tensor of zero bytes.
    public func address(of tensor: LeasedTensor) -> UInt64? {
        tensor.shard.map { $0.payload.address + UInt64(tensor.entry.shardOffset) }
    }
}

extension Payload {
    /// Some of the bytes in RAM, for the time of the call; those of a device are copied from there.
    package func withUnsafeBytes<Result>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Result) throws
        -> Result
    {
        switch self {
        case .mapped(let blob):
            return try blob.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        case .device(let region):
            let bytes = try region.device.read(region.address + range.lowerBound, bytes: range.count)
            return try bytes.withUnsafeBytes(body)
        }
    }

    /// Where the bytes begin.
    package var address: UInt64 {
        switch self {
        case .mapped(let blob): blob.withUnsafeBytes { UInt64(UInt(bitPattern: $0.baseAddress)) }
        case .device(let region): region.address.raw
        }
    }
}

/// A tensor of a lease.
public struct LeasedTensor: Sendable {
    public let entry: TensorEntry
    /// Nil for a tensor of zero bytes.
    package let shard: Residency?
}

extension LeasedTensor {
    /// Elements from one row to the next along each dimension, as DLPack counts them, for a tensor that is row-major
    /// in `entry.shape`.
    public var strides: [Int] {
        var strides: [Int] = []
        var step = 1
        for dimension in entry.shape.reversed() {
            strides.append(step)
            step *= max(dimension, 1)
        }
        return strides.reversed()
    }
}
