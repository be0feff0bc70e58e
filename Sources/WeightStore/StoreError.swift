import Glibc

/// What can go wrong in a store. Each case is one that a caller would treat differently.
public enum StoreError: Error, Sendable, Equatable {
    /// A system call failed; `code` is its `errno`.
    case system(operation: String, path: String, code: Int32)
    /// The disk (or the quota of the user) is full.
    case diskFull(path: String)
    /// `path` holds no store.
    case notAStore(path: String)
    /// The catalog was made by a newer weightstore. It was not touched.
    case newerSchema(path: String)
    /// SQLite can't open the catalog, or finds it malformed.
    case catalogDamaged(path: String, message: String)
    /// WAL mode needs memory shared between processes, which `fileSystem` does not give.
    case networkFileSystem(path: String, fileSystem: String)
    /// Nothing by that name; `kind` is one of DESIGN's words: model, revision, file, tensor, layer.
    case notFound(kind: String, name: String, hint: String)
    /// A digest prefix that fits several revisions.
    case ambiguous(name: String, matches: [String])
    /// A name, path or argument that can't be taken.
    case invalid(what: String, value: String, reason: String)
    /// A blob that is not what its digest says. `expected` and `found` are sizes or digests.
    case damaged(path: String, digest: Digest, expected: String, found: String)
    /// A blob that a row promises, and that is not there.
    case missing(path: String, digest: Digest)
    /// A source file changed while it was read.
    case sourceChanged(path: String)
    /// A model directory that lacks files which its index names.
    case incomplete(path: String, missing: [String])
    /// Somebody else holds the lock on `what`.
    case busy(what: String, holder: String)
    /// A revision that a person pinned; `note` says why.
    case pinned(revision: String, note: String)
    /// A revision that living processes hold a lease on.
    case inUse(revision: String, holders: [String])
    /// The system lets this user lock no more memory.
    case lockedMemoryLimit(path: String, bytes: Int)
    /// A memory tier has no room: `asked` bytes are more than what may go of the `budget` while leases hold `leased`.
    case tierFull(tier: Tier, asked: Int, budget: Int, leased: Int)
    /// A policy that is not one read-only SELECT over `candidate`, or that SQLite refuses; `message` is SQLite's.
    case policyRefused(policy: String, line: Int, message: String)
    /// A policy that was not done in time.
    case policyTooSlow(policy: String, seconds: Double)
    /// The disk's quota has no room: `asked` bytes beside the `stored` ones, of which only `evictable` may go.
    case quotaFull(quota: Int, stored: Int, asked: Int, evictable: Int)
    /// An origin gave other bytes than the shard's.
    case originDiffers(origin: String, digest: Digest, found: String)
    /// An origin could not give a shard.
    case originFailed(origin: String, digest: Digest, reason: String)
    /// The caller, or Ctrl-C, asked to stop.
    case cancelled
}

extension StoreError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .system(let operation, let path, let code):
            "\(path): \(operation): \(String(cString: strerror(code)))"
        case .diskFull(let path):
            "\(path): no space left on the disk. Nothing that was stored is lost; free space with \"weightstore prune\" and \"weightstore gc\", then run the command again."
        case .notAStore(let path):
            "\(path): no store here. \"weightstore import\" makes one; --store or WEIGHTSTORE_HOME names another place."
        case .newerSchema(let path):
            "\(path): made by a newer weightstore, and left untouched. Use that version, or a newer one."
        case .catalogDamaged(let path, let message):
            "\(path): \(message). \"weightstore rebuild\" makes a new catalog from the blobs; the old one is kept aside."
        case .networkFileSystem(let path, let fileSystem):
            "\(path): lies on \(fileSystem), where SQLite's write-ahead log does not work. Put the store on a local disk."
        case .notFound(let kind, let name, let hint):
            "\(name): no such \(kind)." + (hint.isEmpty ? "" : " \(hint)")
        case .ambiguous(let name, let matches):
            "\(name): fits several: \(matches.joined(separator: ", ")). Give more of it."
        case .invalid(let what, let value, let reason):
            "\(value): not a \(what): \(reason)."
        case .damaged(let path, let digest, let expected, let found):
            "\(path): \(found), expected \(expected) (shard \(digest.short)). Run \"weightstore verify\", then import the model again to heal it."
        case .missing(let path, let digest):
            "\(path): not there (shard \(digest.short)). Import the model again to heal it."
        case .sourceChanged(let path):
            "\(path): changed while it was read. Nothing was imported; run the import again when it is at rest."
        case .incomplete(let path, let missing):
            "\(path): incomplete: \(missing.prefix(5).joined(separator: ", "))\(missing.count > 5 ? " and \(missing.count - 5) more" : "") not there. Fetch what is missing, or import what there is with --partial."
        case .busy(let what, let holder):
            "\(what): held by \(holder)."
        case .pinned(let revision, let note):
            "\(revision): pinned\(note.isEmpty ? "" : " (\(note))"). Unpin it first."
        case .inUse(let revision, let holders):
            "\(revision): in use by \(holders.joined(separator: ", ")). Stop it, or run the command again when it is done."
        case .lockedMemoryLimit(let path, let bytes):
            "\(path): \(bytes) bytes can't be locked in memory: the limit is reached. Raise it (ulimit -l, or LimitMEMLOCK= in the systemd unit), or do without locking."
        case .tierFull(let tier, let asked, let budget, let leased):
            "\(tier): no room for \(asked) bytes: the budget is \(budget), and \(leased) of it are in use. Let go of leases, or give a larger budget."
        case .policyRefused(let policy, let line, let message):
            "policy \(policy), line \(line): \(message)."
        case .policyTooSlow(let policy, let seconds):
            "policy \(policy): not done within \(seconds) s."
        case .quotaFull(let quota, let stored, let asked, let evictable):
            "no room for \(asked) bytes: the quota is \(quota), \(stored) are stored, and \(evictable) of them can be evicted. \"weightstore prune\" removes models, \"weightstore quota --set\" sets another quota."
        case .originDiffers(let origin, let digest, let found):
            "\(origin): gave \(found) for shard \(digest.short)."
        case .originFailed(let origin, let digest, let reason):
            "\(origin): can't give shard \(digest.short): \(reason)."
        case .cancelled:
            "Interrupted. What is safe already stays, and the next run goes on from there; \"weightstore gc\" removes it if there is none."
        }
    }
}
