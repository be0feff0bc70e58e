import CWeightStoreHeader
import WeightStore

// weightstore.h documents the functions.

@c @implementation
public func weightstore_lease_part(
    _ revision: OpaquePointer?, _ part: UnsafePointer<weightstore_part>?, _ tier: UnsafePointer<CChar>?,
    _ result: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    lease(revision, tier, result) { revision, tier, work in
        try revision.leaseBlocking(RevisionView.Part(part), in: tier, work: work)
    }
}

@c @implementation
public func weightstore_lease_begin(
    _ revision: OpaquePointer?, _ part: UnsafePointer<weightstore_part>?, _ name: UnsafePointer<CChar>?,
    _ options: UnsafePointer<weightstore_lease_options>?, _ pending: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        let tier = try tier(name)
        let part = try RevisionView.Part(part)
        let target = try target(pending, "pending lease")
        let options = try optionalGiven(options, "options")
        let completion = try LeaseCompletion(options)
        // The events of devices in ordinary memory are not CUDA's.
        let isGPU = if case .device(let device) = tier { !device.kind.isHostMemory } else { false }
        let whenQueued = isGPU && options.map { $0.when_queued != 0 } ?? false
        let work = CurrentWork.handle
        target.pointee = Handles.all.add(
            PendingLeaseHandle(
                try revision.revision.beginLease(part, in: tier, whenQueued: whenQueued, work: work?.work),
                of: revision,
                within: work, completion))
    }
}

@c @implementation
public func weightstore_lease_wait(
    _ pending: OpaquePointer?, _ milliseconds: Int64, _ lease: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let pending = try Handles.all.find(pending, PendingLeaseHandle.self)
        try pending.wait(milliseconds: milliseconds, within: CurrentWork.handle?.work)
        guard let lease else { return }
        lease.pointee = Handles.all.add(LeaseHandle(try pending.retrieve(), of: pending.revision))
    }
}

@c @implementation
public func weightstore_lease_cancel(_ pending: OpaquePointer?) -> weightstore_status {
    call { try Handles.all.find(pending, PendingLeaseHandle.self).cancel() }
}

@c @implementation
public func weightstore_pending_release(_ pending: OpaquePointer?) -> weightstore_status {
    call { _ = try Handles.all.remove(pending, PendingLeaseHandle.self) }
}

@c @implementation
public func weightstore_lease_event(
    _ lease: OpaquePointer?, _ event: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> weightstore_status {
    call {
        let lease = try Handles.all.find(lease, LeaseHandle.self)
        let target = try target(event, "event")
        target.pointee = lease.lease.arrival.map { UnsafeMutableRawPointer($0.handle) }
    }
}
