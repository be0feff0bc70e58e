import CWeightStoreHeader
import WeightStore

// weightstore.h documents the functions.

@c @implementation
public func weightstore_tier_clear(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ bytes: UnsafeMutablePointer<UInt64>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let freed = store.clear(try tier(name))
        bytes?.pointee = UInt64(clamping: freed)
    }
}

@c @implementation
public func weightstore_tier_close(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ bytes: UnsafeMutablePointer<UInt64>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let freed = store.close(try tier(name))
        bytes?.pointee = UInt64(clamping: freed)
    }
}

@c @implementation
public func weightstore_tier_budget(
    _ name: UnsafePointer<CChar>?, _ argument: UnsafePointer<CChar>?, _ bytes: UnsafeMutablePointer<UInt64>?
) -> weightstore_status {
    call {
        let tier = try tier(name)
        let target = try target(bytes, "budget")
        let budget = try TierBudget(try text(argument, "budget"))
        target.pointee = UInt64(clamping: try budget.bytes(in: tier))
    }
}
