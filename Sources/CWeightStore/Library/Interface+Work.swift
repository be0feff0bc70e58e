import CWeightStoreHeader

// weightstore.h documents the functions.

@c @implementation
public func weightstore_work_new(
    _ parent: OpaquePointer?, _ milliseconds: Int64, _ work: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let target = try target(work, "work")
        let parent = try parent.map { try Handles.all.find($0, WorkHandle.self) }
        target.pointee = Handles.all.add(try WorkHandle(within: parent, milliseconds: milliseconds))
    }
}

@c @implementation
public func weightstore_work_use(_ work: OpaquePointer?) -> weightstore_status {
    call { CurrentWork.set(try work.map { try Handles.all.find($0, WorkHandle.self) }) }
}

@c @implementation
public func weightstore_work_cancel(_ work: OpaquePointer?) -> weightstore_status {
    call { try Handles.all.find(work, WorkHandle.self).work.cancel() }
}

@c @implementation
public func weightstore_work_release(_ work: OpaquePointer?) -> weightstore_status {
    call { _ = try Handles.all.remove(work, WorkHandle.self) }
}

@c @implementation
public func weightstore_set_log(
    _ function: weightstore_log_function?, _ context: UnsafeMutableRawPointer?
) -> weightstore_status {
    call { try LogLines.all.set(function, context) }
}
