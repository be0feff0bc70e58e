import CWeightStoreHeader
import Support
import WeightStore

// weightstore.h documents the functions.

/// Creates a handle of a lease.
func lease(
    _ revision: OpaquePointer?, _ tierName: UnsafePointer<CChar>?, _ lease: UnsafeMutablePointer<OpaquePointer?>?,
    _ body: (Revision, Tier, Work?) throws -> Lease
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        let tier = try tier(tierName)
        let target = try target(lease, "lease")
        target.pointee = Handles.all.add(
            LeaseHandle(try body(revision.revision, tier, CurrentWork.handle?.work), of: revision))
    }
}

@c @implementation
public func weightstore_lease_layer(
    _ revision: OpaquePointer?, _ stack: UnsafePointer<CChar>?, _ layer: Int64, _ tier: UnsafePointer<CChar>?,
    _ result: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    lease(revision, tier, result) { revision, tier, work in
        try revision.leaseBlocking(layer: Int(layer), of: try optionalText(stack, "stack"), in: tier, work: work)
    }
}

@c @implementation
public func weightstore_lease_experts(
    _ revision: OpaquePointer?, _ layer: Int64, _ first: Int64, _ last: Int64, _ tier: UnsafePointer<CChar>?,
    _ result: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    lease(revision, tier, result) { revision, tier, work in
        try revision.leaseBlocking(
            experts: try range("experts", first, last), ofLayer: Int(layer), in: tier, work: work)
    }
}

@c @implementation
public func weightstore_lease_layer_with_experts(
    _ revision: OpaquePointer?, _ layer: Int64, _ first: Int64, _ last: Int64, _ tier: UnsafePointer<CChar>?,
    _ result: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    lease(revision, tier, result) { revision, tier, work in
        try revision.leaseBlocking(
            layers: Int(layer)...Int(layer), withExperts: try range("experts", first, last), in: tier, work: work)
    }
}

@c @implementation
public func weightstore_lease_rest(
    _ revision: OpaquePointer?, _ tier: UnsafePointer<CChar>?, _ result: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    lease(revision, tier, result) { try $0.leaseRestBlocking(in: $1, work: $2) }
}

@c @implementation
public func weightstore_lease_tensor(
    _ revision: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?,
    _ tier: UnsafePointer<CChar>?, _ result: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    lease(revision, tier, result) { revision, tier, work in
        let name = try text(name, "name")
        guard let file = try optionalText(file, "file") else {
            return try revision.leaseBlocking(tensor: name, in: tier, work: work)
        }
        return try revision.leaseBlocking(tensor: name, ofFile: file, in: tier, work: work)
    }
}

@c @implementation
public func weightstore_lease_file(
    _ revision: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ tier: UnsafePointer<CChar>?,
    _ result: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    lease(revision, tier, result) { revision, tier, work in
        guard let file = try optionalText(file, "file") else { return try revision.leaseBlocking(in: tier, work: work) }
        return try revision.leaseBlocking(file: file, in: tier, work: work)
    }
}

@c @implementation
public func weightstore_prefetch_layers(
    _ revision: OpaquePointer?, _ first: Int64, _ last: Int64, _ name: UnsafePointer<CChar>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        try revision.revision.prefetch(layers: try range("layers", first, last), in: try tier(name))
    }
}

@c @implementation
public func weightstore_prefetch_layers_with_experts(
    _ revision: OpaquePointer?, _ first: Int64, _ last: Int64, _ firstExpert: Int64, _ lastExpert: Int64,
    _ name: UnsafePointer<CChar>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        try revision.revision.prefetch(
            layers: try range("layers", first, last), experts: try range("experts", firstExpert, lastExpert),
            in: try tier(name))
    }
}

@c @implementation
public func weightstore_lease_describe(
    _ lease: OpaquePointer?, _ info: UnsafeMutablePointer<weightstore_lease_info>?
) -> weightstore_status {
    fill(info, "description", of: lease) { (handle: LeaseHandle) in
        weightstore_lease_info(
            struct_size: 0, tensors: handle.lease.tensors.count, bytes: UInt64(handle.lease.bytes))
    }
}

@c @implementation
public func weightstore_lease_tensor_at(
    _ lease: OpaquePointer?, _ index: Int, _ tensor: UnsafeMutablePointer<weightstore_tensor>?
) -> weightstore_status {
    fill(tensor, "tensor", of: lease) { (lease: LeaseHandle) in
        try element(try lease.tensors(), index, "tensor")
    }
}

@c @implementation
public func weightstore_lease_find(
    _ lease: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?,
    _ index: UnsafeMutablePointer<Int>?
) -> weightstore_status {
    call {
        let lease = try Handles.all.find(lease, LeaseHandle.self)
        let target = try target(index, "index")
        target.pointee = try lease.index(of: try text(name, "name"), in: try optionalText(file, "file"))
    }
}

@c @implementation
public func weightstore_lease_share(
    _ lease: OpaquePointer?, _ index: Int, _ shared: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let lease = try Handles.all.find(lease, LeaseHandle.self)
        let target = try target(shared, "lease")
        _ = try element(lease.lease.tensors, index, "tensor")
        target.pointee = Handles.all.add(lease.share(index))
    }
}

@c @implementation
public func weightstore_lease_release(_ lease: OpaquePointer?) -> weightstore_status {
    call { _ = try Handles.all.remove(lease, LeaseHandle.self) }
}

@c @implementation
public func weightstore_dlpack(
    _ lease: OpaquePointer?, _ index: Int, _ flags: UInt32,
    _ tensor: UnsafeMutablePointer<UnsafeMutablePointer<DLManagedTensor>?>?
) -> weightstore_status {
    call {
        let lease = try Handles.all.find(lease, LeaseHandle.self)
        let target = try target(tensor, "tensor")
        target.pointee = try DLPackExport(lease, index, flags: flags).managed()
    }
}

@c @implementation
public func weightstore_dlpack_versioned(
    _ lease: OpaquePointer?, _ index: Int, _ flags: UInt32,
    _ tensor: UnsafeMutablePointer<UnsafeMutablePointer<DLManagedTensorVersioned>?>?
) -> weightstore_status {
    call {
        let lease = try Handles.all.find(lease, LeaseHandle.self)
        let target = try target(tensor, "tensor")
        target.pointee = try DLPackExport(lease, index, flags: flags).versioned()
    }
}

extension weightstore_lease_info: VersionedStruct {
    static let firstSize = 24
}
