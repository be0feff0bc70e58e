import CWeightStoreHeader
import Support
import Synchronization
import WeightStore

/// The value behind C's handle of a lease. The lease ends with the last user of the value: if another thread releases
/// the handle during a call, the bytes stay until the call returns.
final class LeaseHandle: HandleValue {
    static let kind = "lease"
    let lease: Lease
    let revision: RevisionHandle
    private let table = OnDemand<CTable<weightstore_tensor>>()
    /// Of a writable lease, the memory of the tensors; nil for others.
    let own: PrivateLease?
    /// The writable memory of tensors of a lease that is not writable, by index, made when it is exported.
    private let privates = Mutex<[Int: PrivateMapping]>([:])

    init(_ lease: Lease, of revision: RevisionHandle) {
        self.lease = lease
        self.revision = revision
        own = nil
    }

    init(_ own: PrivateLease, of revision: RevisionHandle) {
        lease = own.lease
        self.revision = revision
        self.own = own
    }

    /// A separate lease on one of the tensors.
    func share(_ index: Int) -> LeaseHandle {
        if let own { return LeaseHandle(own.share(index), of: revision) }
        return LeaseHandle(lease.share(lease.tensors[index]), of: revision)
    }

    /// The same for tensors of which one's lease keeps the bytes of all; nil for a tensor of zero bytes.
    func memory(ofTensor index: Int) -> ObjectIdentifier? {
        if let own { return own.memory(of: index) }
        return lease.tensors[index].shard.map { ObjectIdentifier($0) }
    }

    func tensors() throws -> [weightstore_tensor] {
        let formats = try revision.formats()
        let device = lease.tier.dlpackDevice
        return table.get {
            CTable { memory in
                lease.tensors.enumerated().map { index, leased in
                    var tensor = weightstore_tensor(leased.entry, format: formats[ByteText(leased.entry.file)], memory)
                    tensor.data = UnsafeRawPointer(bitPattern: address(ofTensor: index))
                    tensor.device_type = device.type
                    tensor.device_id = device.id
                    return tensor
                }
            }
        }.rows
    }

    func index(of name: String, in file: String?) throws -> Int {
        let index = lease.tensors.firstIndex { $0.entry.name == name && (file == nil || $0.entry.file == file) }
        guard let index else {
            throw StorageError.notFound(kind: "tensor", name: name, detail: "The lease does not contain it.")
        }
        return index
    }

    /// The address of a tensor's bytes; 0 for zero bytes.
    func address(ofTensor index: Int) -> UInt {
        if let own { return own.memory[index]?.address ?? 0 }
        return UInt(lease.address(of: lease.tensors[index]) ?? 0)
    }

    /// A tensor's bytes in writable memory, which no other tensor shares: a write to one never changes another with the
    /// same bytes.
    ///
    /// - Returns: nil for a tensor of zero bytes.
    func writableMemory(ofTensor index: Int) throws -> PrivateMapping? {
        if let own { return own.memory[index] }
        return try privates.withLock { privates in
            if let known = privates[index] { return known }
            let memory = try lease.privateMemory(of: lease.tensors[index])
            privates[index] = memory
            return memory
        }
    }
}
