import CWeightStoreHeader
import WeightStore

// weightstore.h documents the functions.

@c @implementation
public func weightstore_tensor_location(
    _ revision: OpaquePointer?, _ index: Int, _ location: UnsafeMutablePointer<weightstore_location>?
) -> weightstore_status {
    fill(location, "location", of: revision) { (revision: RevisionHandle) in
        revision.location(of: try element(try revision.entries(), index, "tensor"))
    }
}

@c @implementation
public func weightstore_lease_tensor_location(
    _ lease: OpaquePointer?, _ index: Int, _ location: UnsafeMutablePointer<weightstore_location>?
) -> weightstore_status {
    fill(location, "location", of: lease) { (lease: LeaseHandle) in
        lease.revision.location(of: try element(lease.lease.tensors, index, "tensor").entry)
    }
}

@c @implementation
public func weightstore_tensor_open(
    _ revision: OpaquePointer?, _ index: Int, _ location: UnsafeMutablePointer<weightstore_location>?,
    _ descriptor: UnsafeMutablePointer<Int32>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        try open(try element(try revision.entries(), index, "tensor"), of: revision, location, descriptor)
    }
}

@c @implementation
public func weightstore_lease_tensor_open(
    _ lease: OpaquePointer?, _ index: Int, _ location: UnsafeMutablePointer<weightstore_location>?,
    _ descriptor: UnsafeMutablePointer<Int32>?
) -> weightstore_status {
    call {
        let lease = try Handles.all.find(lease, LeaseHandle.self)
        try open(try element(lease.lease.tensors, index, "tensor").entry, of: lease.revision, location, descriptor)
    }
}

private func open(
    _ entry: TensorEntry, of revision: RevisionHandle, _ location: UnsafeMutablePointer<weightstore_location>?,
    _ descriptor: UnsafeMutablePointer<Int32>?
) throws {
    let locationTarget = try optionalTarget(location, "location")
    let target = try target(descriptor, "descriptor")
    let opened = try revision.revision.openBlob(of: entry, work: CurrentWork.handle?.work)
    locationTarget?.fill(revision.location(of: opened.entry))
    target.pointee = opened.descriptor
}

extension weightstore_location: VersionedStruct {
    static let firstSize = 40
}
