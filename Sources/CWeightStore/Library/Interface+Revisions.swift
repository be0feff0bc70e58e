import CWeightStoreHeader

// weightstore.h documents the functions.

@c @implementation
public func weightstore_resolve(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ revision: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let target = try target(revision, "revision")
        target.pointee = Handles.all.add(
            RevisionHandle(try store.revision(text(name, "name"), work: CurrentWork.handle?.work)))
    }
}

@c @implementation
public func weightstore_revision_release(_ revision: OpaquePointer?) -> weightstore_status {
    call { _ = try Handles.all.remove(revision, RevisionHandle.self) }
}

@c @implementation
public func weightstore_revision_describe(
    _ revision: OpaquePointer?, _ info: UnsafeMutablePointer<weightstore_revision_info>?
) -> weightstore_status {
    fill(info, "description", of: revision) { (revision: RevisionHandle) in try revision.info() }
}

@c @implementation
public func weightstore_tensor_at(
    _ revision: OpaquePointer?, _ index: Int, _ tensor: UnsafeMutablePointer<weightstore_tensor>?
) -> weightstore_status {
    fill(tensor, "tensor", of: revision) { (revision: RevisionHandle) in
        try element(try revision.tensors(), index, "tensor")
    }
}

@c @implementation
public func weightstore_layer_at(
    _ revision: OpaquePointer?, _ index: Int, _ layer: UnsafeMutablePointer<weightstore_layer>?
) -> weightstore_status {
    fill(layer, "layer", of: revision) { (revision: RevisionHandle) in
        try element(try revision.layers(), index, "layer")
    }
}

@c @implementation
public func weightstore_file_at(
    _ revision: OpaquePointer?, _ index: Int, _ file: UnsafeMutablePointer<weightstore_file>?
) -> weightstore_status {
    fill(file, "file", of: revision) { (revision: RevisionHandle) in
        try element(try revision.files(), index, "file")
    }
}

@c @implementation
public func weightstore_file_is_selected(
    _ revision: OpaquePointer?, _ index: Int, _ selected: UnsafeMutablePointer<Int32>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        let target = try target(selected, "selection")
        target.pointee = try element(try revision.selections(), index, "file") ? 1 : 0
    }
}

@c @implementation
public func weightstore_read_file(
    _ revision: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ offset: UInt64, _ buffer: UnsafeMutableRawPointer?,
    _ size: Int, _ count: UnsafeMutablePointer<Int>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        let path = try text(path, "path")
        let target = try target(count, "count")
        guard size >= 0, buffer != nil || size == 0 else {
            throw CallError.argument("the buffer is NULL, or its size \(size) is out of range")
        }
        target.pointee = try revision.read(
            path, at: offset, into: UnsafeMutableRawBufferPointer(start: buffer, count: size))
    }
}

extension weightstore_revision_info: VersionedStruct {
    static let firstSize = 72
}

extension weightstore_tensor: VersionedStruct {
    static let firstSize = 112
}

extension weightstore_layer: VersionedStruct {
    static let firstSize = 40
}

extension weightstore_file: VersionedStruct {
    static let firstSize = 40
}
