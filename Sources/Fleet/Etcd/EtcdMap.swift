import Foundation

/// Where a fleet keeps what in etcd:
///
///     <root>shared/models/<model>     the versions and refs of a model, as they are in the bucket
///     <root>shared/nodes/<name>       a node: its address, what it follows; ends with its lease
///     <root>holdings/<name>           what it has of what it follows; ends with its lease
///
/// Everybody watches `shared/`; `holdings/`, which change often, are read by those who ask for the status. The key of a
/// model is written over, and never deleted: a watch can miss a deletion at the very revision of a compaction
/// (etcd#18089). One that misses the end of a node asks it in vain once.
struct EtcdMap: Sendable {
    let client: EtcdClient
    let root: String

    var shared: String { root + "shared/" }
    var models: String { shared + "models/" }
    var nodes: String { shared + "nodes/" }
    var holdings: String { root + "holdings/" }

    /// Puts a model's versions there, unless what is there is as new.
    func tell(_ versions: ModelVersions) throws {
        let key = models + versions.model
        let bytes = try versions.encoded()
        while true {
            let known = try client.get(key)
            if let known, try ModelVersions(decoding: known.value, place: key).generation >= versions.generation {
                return
            }
            if try client.put(key, bytes, ifUnchangedSince: known?.modified ?? 0) { return }
        }
    }
}
