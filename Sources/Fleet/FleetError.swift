import WeightStore

/// What can go wrong between a node, the bucket and etcd that is nobody's network's fault.
public enum FleetError: Error, Sendable, Equatable {
    /// Another publisher made this version while ours was on its way.
    case lostRace(model: String, version: Int, digest: ContentDigest, publisher: String)
    /// A ref was moved by somebody else since it was looked at.
    case refMoved(model: String, ref: String, expected: Int?, found: Int?)
    /// The map has no such model, version or ref.
    case unknown(what: String, name: String, detail: String = "")
    /// The bucket, or etcd, holds something that is not ours.
    case malformed(place: String, reason: String)
    /// etcd said no.
    case etcd(url: String, message: String)
    /// Garbage is being collected in the bucket, or another push or collection is under way.
    case busy(what: String, holder: String)
    /// What this was doing took so long that others took it for dead.
    case givenUp(what: String)
    case unusable(what: String, reason: String)
}

extension FleetError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .lostRace(let model, let version, let digest, let publisher):
            "\(model)@v\(version): \(publisher) created it meanwhile, with \(digest.short). All bytes are in the bucket; the next push creates the next version."
        case .refMoved(let model, let ref, let expected, let found):
            "\(model)@\(ref): moved meanwhile, to \(found.map { "v\($0)" } ?? "nothing"), expected \(expected.map { "v\($0)" } ?? "nothing")."
        case .unknown(let what, let name, let detail):
            "\(name): no such \(what) in the fleet.\(detail.isEmpty ? "" : " \(detail)")"
        case .malformed(let place, let reason): "\(place): \(reason)."
        case .etcd(let url, let message): "\(url): \(message)."
        case .busy(let what, let holder): "\(what): \(holder)."
        case .givenUp(let what): "\(what): sent no sign of life for so long that others consider it dead."
        case .unusable(let what, let reason): "\(what): \(reason)."
        }
    }
}
