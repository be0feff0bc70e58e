import CWeightStoreHeader
import WeightStore

// weightstore.h documents the functions.

@c @implementation
public func weightstore_tier_clear(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ bytes: UnsafeMutablePointer<UInt64>?
) -> weightstore_status {
    freeMemory(name, of: store, bytes) { $0.clear($1) }
}

@c @implementation
public func weightstore_tier_close(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ bytes: UnsafeMutablePointer<UInt64>?
) -> weightstore_status {
    freeMemory(name, of: store, bytes) { $0.close($1) }
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

/// The body of a function that frees memory of a tier.
private func freeMemory(
    _ name: UnsafePointer<CChar>?, of store: OpaquePointer?, _ bytes: UnsafeMutablePointer<UInt64>?,
    by body: (Store, Tier) -> Int
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let freed = body(store, try tier(name))
        bytes?.pointee = UInt64(clamping: freed)
    }
}
