/// What can go wrong with the catalog and the blobs.
public enum StorageError: Error, Sendable, Equatable {
    /// `path` holds no store.
    case notAStore(path: String)
    /// The catalog was made by a newer version. It was not touched.
    case newerSchema(path: String)
    /// The catalog was made by an older version, and processes of that version use it.
    case olderProcesses(path: String, processes: [String])
    /// SQLite can't open the catalog, or finds it malformed.
    case catalogDamaged(path: String, message: String)
    /// SQLite refused a statement; `code` is its extended result code.
    case catalogFailed(path: String, code: Int, message: String)
    /// Nothing has that name; `kind` is a word of the design: model, revision, file, tensor, layer.
    case notFound(kind: String, name: String, detail: String = "")
    /// A digest prefix that fits several revisions.
    case ambiguous(name: String, matches: [String])
    /// A name, path or argument that is not allowed. `reason` says which ones are.
    case invalid(what: String, value: String, reason: String)
    /// A blob whose bytes do not have its digest. `expected` and `found` are sizes or digests.
    case damaged(path: String, digest: ContentDigest, expected: String, found: String)
    /// A row promises a blob that does not exist.
    case missing(path: String, digest: ContentDigest)
    /// Another process holds the lock on `what`.
    case busy(what: String, holder: String)
}

extension StorageError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notAStore(let path): "\(path): no store here."
        case .newerSchema(let path):
            "\(path): made by a newer weightstore, and left untouched. Use that version, or a newer one."
        case .olderProcesses(let path, let processes):
            "\(path): made by an older weightstore, which \(processes.joined(separator: ", ")) still \(processes.count == 1 ? "uses" : "use"). Stop \(processes.count == 1 ? "it" : "them") first: this version changes the catalog when it opens the store."
        case .catalogDamaged(let path, let message): "\(path): \(message)."
        case .catalogFailed(let path, let code, let message): "\(path): SQLite error \(code): \(message)."
        case .notFound(let kind, let name, let detail):
            "\(name): no such \(kind)." + (detail.isEmpty ? "" : " \(detail)")
        case .ambiguous(let name, let matches):
            "\(name): fits several: \(matches.joined(separator: ", ")). Give more of it."
        case .invalid(let what, let value, let reason): "\(what) \"\(value)\": \(reason)."
        case .damaged(let path, let digest, let expected, let found):
            "\(path): \(found), expected \(expected) (shard \(digest.short))."
        case .missing(let path, let digest): "\(path): missing (shard \(digest.short))."
        case .busy(let what, let holder): "\(what): held by \(holder)."
        }
    }
}
