import CWeightStoreHeader
import WeightStore

// weightstore.h documents the functions.

@c @implementation
public func weightstore_models(
    _ store: OpaquePointer?, _ pattern: UnsafePointer<CChar>?, _ models: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let target = try target(models, "list")
        let pattern = try optionalText(pattern, "pattern")
        target.pointee = Handles.all.add(ListHandle(try store.models(matching: pattern)))
    }
}

@c @implementation
public func weightstore_revisions(
    _ store: OpaquePointer?, _ model: UnsafePointer<CChar>?, _ revisions: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let target = try target(revisions, "list")
        target.pointee = Handles.all.add(ListHandle(try store.revisions(of: try text(model, "model"))))
    }
}

@c @implementation
public func weightstore_list_count(
    _ list: OpaquePointer?, _ count: UnsafeMutablePointer<Int>?
) -> weightstore_status {
    call { try target(count, "count").pointee = try Handles.all.find(list, ListHandle.self).count }
}

@c @implementation
public func weightstore_list_model(
    _ list: OpaquePointer?, _ index: Int, _ model: UnsafeMutablePointer<weightstore_model>?
) -> weightstore_status {
    fill(model, "model", of: list) { (list: ListHandle) in try list.model(index) }
}

@c @implementation
public func weightstore_list_revision(
    _ list: OpaquePointer?, _ index: Int, _ revision: UnsafeMutablePointer<weightstore_revision_entry>?
) -> weightstore_status {
    fill(revision, "revision", of: list) { (list: ListHandle) in try list.revision(index) }
}

@c @implementation
public func weightstore_list_release(_ list: OpaquePointer?) -> weightstore_status {
    call { _ = try Handles.all.remove(list, ListHandle.self) }
}
