import GRDB
import Storage

/// The shards that hold the tensors of a revision, by layer.
struct RevisionLayers: Sendable {
    /// The layers in ascending order, without those of which bytes were never fetched.
    private let layers: [(number: Int, shards: Set<ContentDigest>)]
    /// The shards outside layers; empty if bytes of them were never fetched.
    private let outside: Set<ContentDigest>
    /// Whether bytes were never fetched, so that there may be more layers later.
    let isPending: Bool

    /// Reads them from the catalog. There are none if the revision was removed.
    init(of use: LeaseDirectory.Use, _ db: Database) throws {
        var shards: [Int?: Set<ContentDigest>] = [:]
        var isPending = false
        if let model = try ModelTable.find(use.model, db),
            let revision = try RevisionTable.find(use.digest, of: model, db)?.id
        {
            isPending = try RevisionTable.isPending(revision, db)
            if isPending {
                let places = try TensorPlacement.all(of: revision, db)
                for place in places {
                    if let digest = place.entry.shard { shards[place.entry.layer, default: []].insert(digest) }
                }
                for place in places where place.isPending { shards.removeValue(forKey: place.entry.layer) }
            } else {
                for shard in try ShardTable.weights(of: revision, db) {
                    shards[shard.layer, default: []].insert(shard.digest)
                }
            }
        }
        self.isPending = isPending
        outside = shards.removeValue(forKey: nil) ?? []
        layers = shards.compactMap { layer, shards in layer.map { (number: $0, shards: shards) } }
            .sorted { $0.number < $1.number }
    }

    /// The layers of which all shards are among these.
    func resident(in ready: Set<ContentDigest>) -> ResidentLayers {
        ResidentLayers(
            layers.lazy.filter { $0.shards.isSubset(of: ready) }.map(\.number),
            outside: !outside.isEmpty && outside.isSubset(of: ready))
    }
}
