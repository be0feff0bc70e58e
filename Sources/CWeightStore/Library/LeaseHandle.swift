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
    private let privates = Mutex<[ContentDigest: PrivateMapping]>([:])

    init(_ lease: Lease, of revision: RevisionHandle) {
        self.lease = lease
        self.revision = revision
    }

    func tensors() throws -> [weightstore_tensor] {
        let formats = try revision.formats()
        let device = lease.tier.dlpackDevice
        return table.get {
            CTable { memory in
                lease.tensors.map { leased in
                    var tensor = weightstore_tensor(leased.entry, format: formats[ByteText(leased.entry.file)], memory)
                    tensor.data = lease.address(of: leased).flatMap { UnsafeRawPointer(bitPattern: UInt($0)) }
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

    /// A writable mapping of a tensor's shard; one for all tensors of the lease in the shard.
    func privateMapping(of tensor: LeasedTensor) throws -> PrivateMapping? {
        guard let digest = tensor.entry.shard else { return nil }
        return try privates.withLock { privates in
            if let known = privates[digest] { return known }
            let mapping = try lease.privateMapping(of: tensor)
            privates[digest] = mapping
            return mapping
        }
    }
}
