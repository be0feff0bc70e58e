import Support
import WeightStore

/// Errors of a fleet other than failures of the network.
public enum FleetError: Error, Sendable, Equatable {
    /// Another publisher created this version during the push. `digest` is the manifest of its version; nil if the
    /// version has been dropped since.
    case lostRace(model: String, version: Int, digest: ContentDigest?, publisher: String)
    /// Another writer moved the ref after it was read.
    case refMoved(model: String, ref: String, expected: Int?, found: Int?)
    /// The map has no such model, version or ref.
    case unknown(what: String, name: String, detail: String = "")
    /// An object in the bucket or a value in etcd is unreadable, or was not written by WeightStore.
    case malformed(place: String, reason: String)
    /// etcd rejected a request.
    case etcd(url: String, message: String)
    /// Another push or garbage collection in the bucket is in progress.
    case busy(what: String, holder: String)
    /// The entry of a push or collection was removed from the ledger, because it was not renewed in time.
    case expired(what: String)
    /// An address, or a version to be removed, cannot be used; `reason` contains the cause.
    case unusable(what: String, reason: String)
    /// Objects of the bucket are missing, or older than others. Push, sync and collection stop: a missing object is no
    /// proof that it never existed.
    case inconsistent(place: String, finding: String)
    /// A collection would remove more than the allowed share of the bucket's shards. Nothing was removed.
    case removesTooMuch(origin: String, shards: Int, of: Int, bytes: Int, allowed: Double)
}

extension FleetError: CustomStringConvertible {
    /// The message: the object, the cause, and the next step if there is one. It contains no secrets of a URL.
    public var description: String { text.withoutURLSecrets }

    private var text: String {
        switch self {
        case .lostRace(let model, let version, let digest, let publisher):
            "\(model)@v\(version): \(publisher) created this version first (\(digest.map { "manifest \($0.short)" } ?? "dropped since")). The uploaded bytes stay in the bucket: push again to create the next version."
        case .refMoved(let model, let ref, let expected, let found):
            "\(model)@\(ref): names \(found.map { "v\($0)" } ?? "nothing"), expected \(expected.map { "v\($0)" } ?? "nothing"): another writer moved it."
        case .unknown(let what, let name, let detail):
            "\(name): no such \(what) in the fleet.\(detail.isEmpty ? "" : " \(detail)")"
        case .malformed(let place, let reason): "\(place): \(reason)."
        case .etcd(let url, let message): "\(url): \(message)."
        case .busy(let what, let holder): "\(what): \(holder)."
        case .expired(let what):
            "\(what): its ledger entry was not renewed for \(Ledger.deadSeconds) s, and was removed. Start it again."
        case .unusable(let what, let reason): "\(what): \(reason)."
        case .inconsistent(let place, let finding):
            "\(place): \(finding). Objects of the bucket are lost or outdated; nothing was changed. Restore them, for example from their older versions in the bucket."
        case .removesTooMuch(let origin, let shards, let all, let bytes, let allowed):
            "\(origin): the collection would remove \(shards) of \(all) shards, \(Quantity.bytes(bytes)), which is more than \(Quantity.percent(allowed)) of them. Nothing was removed. Check that the bucket's models are complete, then allow a larger share."
        }
    }
}
