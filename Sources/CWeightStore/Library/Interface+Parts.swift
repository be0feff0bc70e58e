import CWeightStoreHeader
import WeightStore

// weightstore.h documents the functions.

@c @implementation
public func weightstore_lease_writable(
    _ revision: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?, _ flags: UInt32,
    _ lease: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        let (lazy, neighbours) = (UInt32(WEIGHTSTORE_LEASE_LAZY), UInt32(WEIGHTSTORE_LEASE_NEIGHBOURS))
        guard flags & ~(lazy | neighbours) == 0 else {
            throw CallError.argument("flags \(flags): must be WEIGHTSTORE_LEASE_… combined, or 0")
        }
        guard flags & neighbours == 0 || (file != nil && name != nil) else {
            throw CallError.argument("WEIGHTSTORE_LEASE_NEIGHBOURS: needs the name and the file of a tensor")
        }
        let target = try target(lease, "lease")
        let made = try revision.revision.leasePrivately(
            file: try optionalText(file, "file"), tensor: try optionalText(name, "name"),
            withNeighbours: flags & neighbours != 0, reads: flags & lazy == 0, work: CurrentWork.handle?.work)
        target.pointee = Handles.all.add(LeaseHandle(made, of: revision))
    }
}

@c @implementation
public func weightstore_lease_read(
    _ lease: OpaquePointer?, _ index: Int, _ offset: UInt64, _ size: UInt64
) -> weightstore_status {
    call {
        let lease = try Handles.all.find(lease, LeaseHandle.self)
        let tensor = try element(lease.lease.tensors, index, "tensor")
        guard let own = lease.own else {
            throw CallError.argument("the lease is not from weightstore_lease_writable: its bytes are read already")
        }
        guard let start = Int(exactly: offset), let count = Int(exactly: size), start <= tensor.entry.bytes,
            count <= tensor.entry.bytes - start
        else {
            throw CallError.argument(
                "\(size) bytes from \(offset) on: must lie in the \(tensor.entry.bytes) bytes of \(tensor.entry.name)")
        }
        try own.read(index, start..<start + count, CurrentWork.handle?.work)
    }
}

@c @implementation
public func weightstore_tensor_is_stored(
    _ revision: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?,
    _ stored: UnsafeMutablePointer<Int32>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        let target = try target(stored, "answer")
        let isStored = try revision.revision.isStored(
            tensor: try text(name, "name"), in: try optionalText(file, "file"))
        target.pointee = isStored ? 1 : 0
    }
}

@c @implementation
public func weightstore_read_tensor(
    _ revision: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?,
    _ parts: UnsafePointer<weightstore_tensor_parts>?, _ buffer: UnsafeMutableRawPointer?, _ size: Int
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        guard let parts else { throw CallError.argument("the parts are NULL") }
        let given = parts.pointee
        guard given.struct_size >= MemoryLayout<weightstore_tensor_parts>.size else {
            throw CallError.argument(
                "struct_size of the parts is \(given.struct_size): set it to the size of the structure (sizeof)")
        }
        guard let offset = Int(exactly: given.offset), let bytes = Int(exactly: given.bytes),
            let stride = Int(exactly: given.stride), let count = Int(exactly: given.count)
        else { throw CallError.argument("the parts: no number may exceed \(Int.max)") }
        guard size >= 0, buffer != nil || size == 0 else {
            throw CallError.argument("the buffer is NULL, or its size \(size) is out of range")
        }
        try revision.revision.read(
            TensorParts(offset: offset, bytes: bytes, stride: stride, count: count), ofTensor: try text(name, "name"),
            in: try optionalText(file, "file"), into: UnsafeMutableRawBufferPointer(start: buffer, count: size),
            work: CurrentWork.handle?.work)
    }
}
