import CWeightStoreHeader
import WeightStore

// weightstore.h documents the functions.

/// `count` of all rows, from index `first` on.
private func rows<Rows: RandomAccessCollection<Rows.Element>>(
    _ all: Rows, _ first: Int, _ count: Int, _ name: String
) throws(CallError) -> Rows.SubSequence where Rows.Index == Int {
    guard first >= 0, count >= 0, first <= all.count, count <= all.count - first else {
        throw .argument("\(count) \(name) from \(first) on: there are \(all.count)")
    }
    return all[first..<first + count]
}

@c @implementation
public func weightstore_tensors(
    _ revision: OpaquePointer?, _ first: Int, _ count: Int, _ tensors: UnsafeMutablePointer<weightstore_tensor>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        let wanted = try rows(try revision.tensors(), first, count, "tensors")
        if wanted.isEmpty { return }
        let target: SizedTarget = try target(tensors, "tensors")
        target.fill(wanted)
    }
}

@c @implementation
public func weightstore_lease_tensors(
    _ lease: OpaquePointer?, _ first: Int, _ count: Int, _ tensors: UnsafeMutablePointer<weightstore_tensor>?
) -> weightstore_status {
    call {
        let lease = try Handles.all.find(lease, LeaseHandle.self)
        let wanted = try rows(try lease.tensors(), first, count, "tensors")
        if wanted.isEmpty { return }
        let target: SizedTarget = try target(tensors, "tensors")
        target.fill(wanted)
    }
}

/// Fills an array with a value for each of `count` tensors of a lease, from index `first` on.
private func fill<Value>(
    _ array: UnsafeMutablePointer<Value>?, _ name: String, _ lease: OpaquePointer?, _ first: Int, _ count: Int,
    _ value: (LeaseHandle, Int) -> Value
) -> weightstore_status {
    call {
        let lease = try Handles.all.find(lease, LeaseHandle.self)
        let wanted = try rows(lease.lease.tensors.indices, first, count, "tensors")
        if wanted.isEmpty { return }
        let target = try target(array, name)
        for (place, index) in wanted.enumerated() { target[place] = value(lease, index) }
    }
}

@c @implementation
public func weightstore_lease_addresses(
    _ lease: OpaquePointer?, _ first: Int, _ count: Int, _ addresses: UnsafeMutablePointer<UnsafeRawPointer?>?
) -> weightstore_status {
    fill(addresses, "addresses", lease, first, count) { UnsafeRawPointer(bitPattern: $0.address(ofTensor: $1)) }
}

@c @implementation
public func weightstore_lease_share_memory(
    _ lease: OpaquePointer?, _ first: Int, _ count: Int, _ shared: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    var known: [ObjectIdentifier: OpaquePointer] = [:]
    return fill(shared, "leases", lease, first, count) { lease, index in
        guard let memory = lease.memory(ofTensor: index) else { return Handles.all.add(lease.share(index)) }
        if let handle = known[memory] { return handle }
        let handle = Handles.all.add(lease.share(index))
        known[memory] = handle
        return handle
    }
}

@c @implementation
public func weightstore_lease_share_tensors(
    _ lease: OpaquePointer?, _ first: Int, _ count: Int, _ shared: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    fill(shared, "leases", lease, first, count) { Handles.all.add($0.share($1)) }
}
