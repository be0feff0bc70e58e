import Foundation
import WeightStore

/// The keys of a fleet in etcd:
///
///     <root>shared/models/<model>     a model's versions and refs, as in the bucket
///     <root>shared/nodes/<name>       a node's address and the refs it follows; expires with its lease
///     <root>holdings/<name>           a node's state of those refs; expires with its lease
///
/// All nodes watch `shared/`. `holdings/` changes often and is read only for a status report. A model's key is
/// overwritten and never deleted, because a watch can miss a deletion at the very revision of a compaction
/// (etcd#18089). The key of a node is deleted: if a watch misses that, one request to the dead node fails.
struct EtcdKeys: Sendable {
    let client: EtcdClient
    let root: String

    var shared: String { root + "shared/" }
    var models: String { shared + "models/" }
    var nodes: String { shared + "nodes/" }
    var holdings: String { root + "holdings/" }

    /// Writes a model's versions, unless etcd has this generation or a newer one.
    func announce(_ versions: ModelVersions, _ work: Work = Work()) throws {
        let key = models + versions.model
        let bytes = try versions.encoded()
        var attempts = ChangeAttempts(key)
        while true {
            let known = try client.get(key)
            if let known, try ModelVersions(decoding: known.value, place: key).generation >= versions.generation {
                return
            }
            if try client.put(key, bytes, ifUnchangedSince: known?.modified ?? 0) { return }
            try attempts.lost(work)
        }
    }
}
