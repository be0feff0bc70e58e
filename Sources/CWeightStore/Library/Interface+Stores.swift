import CWeightStoreHeader
import WeightStore

// weightstore.h documents the functions.

@c @implementation
public func weightstore_abi() -> UInt32 { UInt32(WEIGHTSTORE_ABI) }

@c @implementation
public func weightstore_last_status() -> weightstore_status { Failure.last?.status ?? WEIGHTSTORE_OK }

@c @implementation
public func weightstore_last_message() -> UnsafePointer<CChar>? {
    guard let failure = Failure.last else { return UnsafePointer(noFailure) }
    return UnsafePointer(failure.message)
}

// Never written.
private nonisolated(unsafe) let noFailure: UnsafeMutablePointer<CChar> = {
    let empty = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
    empty.initialize(to: 0)
    return empty
}()

@c @implementation
public func weightstore_open_handles(_ count: UnsafeMutablePointer<Int>?) -> weightstore_status {
    call { try target(count, "count").pointee = Handles.all.count }
}

@c @implementation
public func weightstore_open(
    _ path: UnsafePointer<CChar>?, _ store: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let target = try target(store, "store")
        target.pointee = Handles.all.add(try StoreHandle(try optionalText(path, "path")))
    }
}

@c @implementation
public func weightstore_create(
    _ path: UnsafePointer<CChar>?, _ store: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let target = try target(store, "store")
        target.pointee = Handles.all.add(try StoreHandle(try optionalText(path, "path"), create: true))
    }
}

@c @implementation
public func weightstore_close(_ store: OpaquePointer?) -> weightstore_status {
    call { try Handles.all.remove(store, StoreHandle.self)?.store.stopEvicting() }
}

@c @implementation
public func weightstore_store_describe(
    _ store: OpaquePointer?, _ info: UnsafeMutablePointer<weightstore_store_info>?
) -> weightstore_status {
    fill(info, "description", of: store) { (store: StoreHandle) in store.info() }
}

@c @implementation
public func weightstore_open_tier(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ options: UnsafePointer<weightstore_tier_options>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let tier = try tier(name)
        let given = try given(options, "options")
        guard let budget = Int(exactly: given.budget) else {
            throw CallError.argument("budget \(given.budget): must be at most \(Int.max) bytes")
        }
        try store.open(
            tier,
            TierOptions(
                budget: budget == 0 ? nil : budget, locksPages: given.lock_pages != 0, verifies: given.verifies != 0,
                policy: try optionalText(given.policy, "policy").map { try store.policy($0) } ?? .lru))
    }
}

@c @implementation
public func weightstore_statistics(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?,
    _ statistics: UnsafeMutablePointer<weightstore_tier_statistics>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let tier = try tier(name)
        let target: SizedTarget = try target(statistics, "statistics")
        guard let gauge = store.gauges.first(where: { $0.tier == tier }) else {
            throw StorageError.notFound(kind: "tier", name: "\(tier)", detail: "It is not open yet.")
        }
        target.fill(
            weightstore_tier_statistics(
                struct_size: 0, budget: UInt64(gauge.budget), bytes: UInt64(gauge.bytes),
                loading: UInt64(gauge.loading),
                leased: UInt64(gauge.leased), shards: UInt64(gauge.shards), hits: UInt64(gauge.hits),
                misses: UInt64(gauge.misses), loaded: UInt64(gauge.loaded), evictions: UInt64(gauge.evictions),
                failures: UInt64(gauge.failures)))
    }
}

extension weightstore_store_info: VersionedStruct {
    static let firstSize = 16
}

extension weightstore_tier_options: VersionedStruct {
    static let firstSize = 32
}

extension weightstore_tier_statistics: VersionedStruct {
    static let firstSize = 88
}
