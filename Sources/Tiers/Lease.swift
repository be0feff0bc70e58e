import DeviceMemory
import Storage
import Support
import Synchronization

/// A hold on tensors whose bytes are in a tier.
///
/// The lease ends once: with ``release()`` or with the last reference to it. Until then its shards are not evicted, its
/// revision is not removed, and its bytes stay readable, even if the store is closed.
public final class Lease: Sendable {
    /// The tier that holds the bytes.
    public let tier: Tier
    /// The tensors, sorted by file and name.
    public var tensors: [LeasedTensor] { group.tensors }
    /// The total size of the tensors, in bytes.
    public var bytes: Int { group.bytes }

    /// The number of the layer; nil if the lease is not on a single layer.
    public var layer: Int? { group.layer }

    package let group: ShardGroup
    /// Completes when the bytes have arrived on the device; nil if they had when the lease was created.
    package let arrival: DeviceEvent?
    private let isHeld = Atomic<Bool>(true)

    /// Creates a lease from counted leases on all shards of the group.
    ///
    /// - Parameters:
    ///   - isUse: false for a warm-up, which does not count as an access.
    ///   - arrival: an event behind the copies of the bytes to the device.
    package init(_ group: ShardGroup, isUse: Bool = true, arrival: DeviceEvent? = nil) {
        self.group = group
        self.arrival = arrival
        tier = group.tier.tier
        if isUse { group.tier.record(group.shards) }
    }

    deinit { release() }

    /// Releases the lease now. Its tensors must not be read afterwards. A second call has no effect.
    public func release() {
        guard isHeld.exchange(false, ordering: .acquiringAndReleasing) else { return }
        group.release()
    }

    /// Traps if the lease was released.
    package func preconditionHeld() { precondition(isHeld.load(ordering: .acquiring), "the lease was released") }

    /// A separate lease on one of the tensors, which keeps its shard in the tier after this lease ends. Traps if this
    /// lease was released.
    ///
    /// - Parameter tensor: a tensor of this lease.
    public func share(_ tensor: LeasedTensor) -> Lease {
        preconditionHeld()
        let one = group.one(tensor)
        if let lease = one.leaseIfReady() { return lease }
        precondition(arrival != nil, "a leased shard is not in its tier")
        // The bytes are arriving.
        for shard in one.shards { shard.leaseAgain() }
        return Lease(one, arrival: arrival)
    }

    /// The tensor with this name.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func tensor(_ name: String) throws -> LeasedTensor {
        guard let tensor = tensors.first(where: { ByteText($0.entry.name) == ByteText(name) }) else {
            throw StorageError.notFound(kind: "tensor", name: name, detail: "The lease does not contain it.")
        }
        return tensor
    }

    /// Calls `body` with the bytes of a tensor. The bytes of a device are copied to RAM first. Traps if the lease was
    /// released.
    ///
    /// - Parameters:
    ///   - tensor: a tensor of this lease.
    ///   - body: receives bytes that are valid only during the call.
    /// - Throws: the error of the copy or of `body`.
    public func withUnsafeBytes<Result>(
        of tensor: LeasedTensor, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        preconditionHeld()
        guard let shard = tensor.shard else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        try arrival?.synchronize()
        let start = tensor.payloadOffset(in: shard)
        return try shard.payload.withUnsafeBytes(start..<start + tensor.entry.bytes, body)
    }

    /// The address of a tensor's first byte: in this process for `ram`, in the device's memory for a device. Valid
    /// until the lease ends. Nil for a tensor of zero bytes.
    public func address(of tensor: LeasedTensor) -> UInt64? {
        tensor.shard.map { $0.payload.address + UInt64(tensor.payloadOffset(in: $0)) }
    }
}

extension Payload {
    /// Calls `body` with a range of the bytes in RAM, valid during the call. The bytes of a device are copied first.
    package func withUnsafeBytes<Result>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Result) throws
        -> Result
    {
        switch self {
        case .mapped(let blob):
            return try blob.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        case .device(let region):
            let bytes = try region.device.read(region.address + range.lowerBound, bytes: range.count)
            return try bytes.withUnsafeBytes(body)
        case .unmapped: preconditionFailure("the holder of the lease maps the bytes itself")
        }
    }

    /// The address of the first byte.
    package var address: UInt64 {
        switch self {
        case .mapped(let blob): blob.withUnsafeBytes { UInt64(UInt(bitPattern: $0.baseAddress)) }
        case .device(let region): region.address.raw
        case .unmapped: preconditionFailure("the holder of the lease maps the bytes itself")
        }
    }
}

/// A tensor of a lease.
public struct LeasedTensor: Sendable {
    /// The tensor in the catalog. In a lease on experts, it may be one expert of a tensor that stacks them: then
    /// `expert` is its number, `shape` has no dimension of experts, and `bytes` and `shardOffset` are those of the
    /// expert.
    public var entry: TensorEntry { _read { yield shared.entry } }
    /// The shard, or the range of it, that holds its bytes; nil if the tensor has no bytes or its bytes were never
    /// fetched.
    package let shard: ResidentShard?

    /// An entry is large, and a tensor is in many leases.
    private final class SharedEntry: Sendable {
        let entry: TensorEntry

        init(_ entry: TensorEntry) { self.entry = entry }
    }

    private let shared: SharedEntry

    init(entry: TensorEntry, shard: ResidentShard?) {
        shared = SharedEntry(entry)
        self.shard = shard
    }

    /// The same tensor, with its bytes in another shard.
    init(_ tensor: LeasedTensor, shard: ResidentShard) {
        shared = tensor.shared
        self.shard = shard
    }
}

extension LeasedTensor {
    /// The position of the first byte in the payload of `shard`.
    func payloadOffset(in shard: ResidentShard) -> Int { entry.shardOffset - shard.range.lowerBound }

    /// The stride of each dimension in elements, as in DLPack, for a tensor that is row-major in `entry.shape`.
    public var strides: [Int] {
        var strides: [Int] = []
        var step = 1
        for dimension in entry.shape.reversed() {
            strides.append(step)
            // A tensor without elements may have any other dimensions.
            step = step.multiplied(saturating: max(dimension, 1))
        }
        return strides.reversed()
    }
}
