import CWeightStoreHeader
import Support
import WeightStore

/// The owner of an exported DLPack tensor's memory, alive until the tensor's deleter is called.
final class DLPackExport {
    private let lease: LeaseHandle
    private let writable: PrivateMapping?
    private let memory = CMemory()
    private(set) var tensor = DLTensor()
    let isReadOnly: Bool

    init(_ handle: LeaseHandle, _ index: Int, flags: UInt32) throws {
        let known = UInt32(WEIGHTSTORE_DLPACK_BYTES | WEIGHTSTORE_DLPACK_PRIVATE)
        guard flags & ~known == 0 else {
            throw CallError.argument(
                "flags \(flags): must be a combination of WEIGHTSTORE_DLPACK_BYTES and WEIGHTSTORE_DLPACK_PRIVATE")
        }
        let leased = try element(handle.lease.tensors, index, "tensor")
        let asBytes = flags & UInt32(WEIGHTSTORE_DLPACK_BYTES) != 0
        isReadOnly = flags & UInt32(WEIGHTSTORE_DLPACK_PRIVATE) == 0 && handle.own == nil
        guard isReadOnly || handle.lease.tier == .ram else {
            throw CallError.argument(
                "WEIGHTSTORE_DLPACK_PRIVATE: the lease's tier is \(handle.lease.tier), must be ram")
        }
        guard let type = asBytes ? .bytes : DLPackType(leased.entry.dtype) else {
            throw CallError.unsupported(dtype: leased.entry.dtype)
        }
        let format = try handle.revision.formats()[ByteText(leased.entry.file)]
        writable = isReadOnly ? nil : try handle.writableMemory(ofTensor: index)
        lease = handle.share(index)
        let shape = asBytes ? [leased.entry.bytes] : TensorLayout(leased.entry, format: format).shape
        // Consumers rely on the shape: with more elements they would read behind the tensor.
        let needed = shape.reduce(Int(type.bits) / 8) { $0.multiplied(saturating: $1) }
        guard needed <= leased.entry.bytes else {
            throw StorageError.invalid(
                what: "shape of tensor", value: leased.entry.name,
                reason: "needs \(needed) bytes, and the tensor has \(leased.entry.bytes)")
        }
        let strides = asBytes ? [1] : TensorLayout(leased.entry, format: format).strides ?? []
        let device = handle.lease.tier.dlpackDevice
        let address = isReadOnly ? handle.address(ofTensor: index) : writable?.address ?? 0
        tensor.data = UnsafeMutableRawPointer(bitPattern: address)
        tensor.device = DLDevice(device_type: device.type, device_id: device.id)
        tensor.ndim = Int32(shape.count)
        tensor.dtype = type.structure
        tensor.shape = memory.array(shape)
        tensor.strides = memory.array(strides)
    }

    /// The tensor in the form that every consumer supports.
    func managed() -> UnsafeMutablePointer<DLManagedTensor> {
        let managed = UnsafeMutablePointer<DLManagedTensor>.allocate(capacity: 1)
        managed.initialize(
            to: DLManagedTensor(
                dl_tensor: tensor, manager_ctx: Unmanaged.passRetained(self).toOpaque(),
                deleter: { managed in
                    guard let managed, DLPackExport.release(managed.pointee.manager_ctx) else { return }
                    managed.deallocate()
                }))
        return managed
    }

    /// The tensor in the form that has a read-only flag.
    func versioned() -> UnsafeMutablePointer<DLManagedTensorVersioned> {
        let managed = UnsafeMutablePointer<DLManagedTensorVersioned>.allocate(capacity: 1)
        managed.initialize(
            to: DLManagedTensorVersioned(
                version: DLPackVersion(major: 1, minor: 1), manager_ctx: Unmanaged.passRetained(self).toOpaque(),
                deleter: { managed in
                    guard let managed, DLPackExport.release(managed.pointee.manager_ctx) else { return }
                    managed.deallocate()
                }, flags: isReadOnly ? 1 : 0, dl_tensor: tensor))
        return managed
    }

    /// - Returns: false in a forked child of the owning process, where the memory must not be released.
    private static func release(_ context: UnsafeMutableRawPointer) -> Bool {
        if OwningProcess.isAnother { return false }
        Unmanaged<DLPackExport>.fromOpaque(context).release()
        return true
    }
}
