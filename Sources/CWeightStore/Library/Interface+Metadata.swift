import CWeightStoreHeader

// weightstore.h documents the functions.

@c @implementation
public func weightstore_metadata_count(
    _ revision: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ count: UnsafeMutablePointer<Int>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        let target = try target(count, "count")
        target.pointee = try revision.metadata(of: try text(file, "file")).count
    }
}

@c @implementation
public func weightstore_metadata_at(
    _ revision: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ index: Int,
    _ metadata: UnsafeMutablePointer<weightstore_metadata>?
) -> weightstore_status {
    call {
        let revision = try Handles.all.find(revision, RevisionHandle.self)
        let target: SizedTarget = try target(metadata, "metadata")
        target.fill(try element(try revision.metadata(of: try text(file, "file")), index, "metadata"))
    }
}

extension weightstore_metadata: VersionedStruct {
    static let firstSize = 40
}
