/// Errors of the catalog and the blobs.
public enum StorageError: Error, Sendable, Equatable {
    /// `path` contains no store.
    case notAStore(path: String)
    /// A newer version created the catalog. It was not changed.
    case newerSchema(path: String)
    /// An older version created the catalog, and processes of that version are using it.
    case olderProcesses(path: String, processes: [String])
    /// SQLite reports that the catalog is malformed or no database, or it is missing beside blobs.
    case catalogDamaged(path: String, message: String)
    /// An SQLite statement failed; `code` is its extended result code.
    case catalogFailed(path: String, code: Int, message: String)
    /// The catalog lacks commits that were made to the store: an older copy was put back. Nothing is deleted.
    case catalogOlder(path: String)
    /// The directory of blobs has no marker of this store: it is not mounted, or belongs to another store. Nothing is
    /// deleted. `found` is the id in its marker, or nil if there is none.
    case foreignBlobs(path: String, found: String?)
    /// So many blobs are missing that a collection does not record it: `missing` of `shards` present shards.
    case tooManyMissing(path: String, missing: Int, shards: Int)
    /// Nothing has that name; `kind` is a word such as model, revision, file, tensor or layer.
    case notFound(kind: String, name: String, detail: String = "")
    /// A digest prefix matches several revisions.
    case ambiguous(name: String, matches: [String])
    /// A name, path or argument is not allowed; `reason` gives the allowed values.
    case invalid(what: String, value: String, reason: String)
    /// The bytes of a blob do not have its digest or size. `expected` and `found` are digests or sizes.
    case damaged(path: String, digest: ContentDigest, expected: String, found: String)
    /// A blob that the catalog lists does not exist.
    case missing(path: String, digest: ContentDigest)
    /// A blob was removed or evicted by another process while this process read the store without a lease.
    case removed(path: String, digest: ContentDigest)
    /// The call writes to the store, which this process can only read; `reason` names the path and the cause.
    case readOnly(reason: String)
    /// Another process holds the lock on `what`.
    case busy(what: String, holder: String)
}

extension StorageError: CustomStringConvertible {
    /// The path or name, the failure and the next step.
    public var description: String {
        switch self {
        case .notAStore(let path): "\(path): not a store."
        case .newerSchema(let path):
            "\(path): created by a newer version of weightstore, and not changed. Use that version or a newer one."
        case .olderProcesses(let path, let processes):
            """
            \(path): created by an older version of weightstore, and in use by it: \
            \(processes.joined(separator: ", ")). Stop \(processes.count == 1 ? "this process" : "these processes") \
            first: this version migrates the catalog when it opens the store.
            """
        case .catalogDamaged(let path, let message): "\(path): \(message)."
        case .catalogFailed(let path, let code, let message): "\(path): SQLite error \(code): \(message)."
        case .catalogOlder(let path):
            """
            \(path): older than the blobs: it lacks later commits. The store can be read, but nothing is deleted from \
            it.
            """
        case .foreignBlobs(let path, let found):
            """
            \(path): \(found == nil ? "has no marker" : "has the marker of another store") (\(StoreMarker.name)). Its \
            disk is not mounted, or it belongs to another store. Nothing was changed.
            """
        case .tooManyMissing(let path, let missing, let shards):
            """
            \(path): \(missing) of \(shards) shards are missing, more than a collection records. Check that the disk is \
            mounted and readable. Nothing was deleted.
            """
        case .notFound(let kind, let name, let detail):
            "\(name): no such \(kind)." + (detail.isEmpty ? "" : " \(detail)")
        case .ambiguous(let name, let matches):
            "\(name): matches several revisions: \(matches.joined(separator: ", ")). Use a longer prefix."
        case .invalid(let what, let value, let reason): "\(what) \"\(value)\": \(reason)."
        case .damaged(let path, let digest, let expected, let found):
            "\(path): \(found), expected \(expected) (shard \(digest.short))."
        case .missing(let path, let digest): "\(path): missing (shard \(digest.short))."
        case .removed(let path, let digest):
            """
            \(path): removed or evicted by another process (shard \(digest.short)). A read-only store cannot \
            lease shards.
            """
        case .readOnly(let reason): "\(reason). The store can only be read."
        case .busy(let what, let holder): "\(what): held by \(holder)."
        }
    }
}

extension StorageError {
    /// - Throws: ``damaged(path:digest:expected:found:)`` unless the digest of the bytes is the expected one.
    package static func check(_ found: ContentDigest, is expected: ContentDigest, of path: String) throws {
        if found == expected { return }
        throw StorageError.damaged(
            path: path, digest: expected, expected: "SHA-256 \(expected.short)", found: "SHA-256 \(found.short)")
    }
}
