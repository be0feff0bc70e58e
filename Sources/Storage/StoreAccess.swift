import Files
import Glibc

/// Whether this process can write to a store.
///
/// A store on a read-only mount, in an image layer, or of another user is opened read-only: nothing is created, locked,
/// counted or leased in it. Without a lease, a removal or an eviction by another process is not prevented; a blob that is
/// gone is reported as ``StorageError/removed(path:digest:)``, and one that is mapped stays readable.
package enum StoreAccess: Sendable, Equatable {
    case readWrite
    /// The reason names the path that cannot be written.
    case readOnly(reason: String)

    /// The access that this process has to the store in a directory.
    package init(_ path: String) {
        for part in ["", "/leases", "/blobs", "/write.lock", "/store.db"] {
            guard let code = FileSystem.writeProblem(path + part) else { continue }
            self = .readOnly(reason: "\(path + part): \(String(cString: strerror(code)))")
            return
        }
        self = .readWrite
    }

    /// Throws ``StorageError/readOnly(reason:)`` if the store cannot be written.
    package func requireWritable() throws(StorageError) {
        if case .readOnly(let reason) = self { throw .readOnly(reason: reason) }
    }

    package var isReadOnly: Bool { self != .readWrite }
}
