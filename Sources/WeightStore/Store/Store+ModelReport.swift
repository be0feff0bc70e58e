import GRDB
import Storage
import Support

extension Store {
    /// The versions of a model, with the bytes that differ between neighbours, and its layers. Reads the shards of the listed
    /// versions.
    ///
    /// - Parameter limit: the most versions, the newest ones.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    package func report(on model: String, versions limit: Int = 20) throws -> ModelReport {
        let (newest, versions, older, shards) = try catalog.read { db in
            let all = Array(try RevisionInfo.all(of: model, db).reversed())
            let ids = try RevisionRow.all(of: try ModelTable.id(of: model, db), db)
            func bytes(of revision: RevisionInfo) throws -> [Int64: Int] {
                guard let row = ids.first(where: { $0.digest == revision.digest }) else { return [:] }
                return try RevisionTable.shardBytes(of: row.id, db)
            }
            var versions: [ModelReport.Version] = []
            var own = try all.first.map(bytes) ?? [:]
            for (place, revision) in all.prefix(limit).enumerated() {
                guard place + 1 < all.count else {
                    versions.append(.init(revision: revision, added: nil, dropped: nil))
                    break
                }
                let before = try bytes(of: all[place + 1])
                versions.append(
                    .init(
                        revision: revision,
                        added: own.filter { before[$0.key] == nil }.saturatingSum(\.value),
                        dropped: before.filter { own[$0.key] == nil }.saturatingSum(\.value)))
                own = before
            }
            let newest = ids.first { $0.digest == all.first?.digest }
            let layers = try newest.map { try RevisionTable.layers(of: $0.id, db) } ?? []
            return (newest, versions, all.count - versions.count, layers)
        }
        var layers = shards.map { ModelReport.Layer(shards: $0) }
        if let newest { try addResidency(of: newest, to: &layers) }
        let shared = try diskMap(of: model, depth: .models).groups.filter { $0.models.count > 1 }
            .saturatingSum(\.sum.bytes)
        return ModelReport(versions: versions, older: older, layers: layers, shared: shared)
    }

    /// Adds what the open tiers of this process hold.
    private func addResidency(of row: RevisionRow, to layers: inout [ModelReport.Layer]) throws {
        let open = gauges.map(\.tier)
        if open.isEmpty { return }
        let revision = try heldRevision(row.name)
        for tier in open {
            let resident = try revision.residency(in: tier)
            let name = "\(tier)"
            for place in layers.indices {
                guard let layer = layers[place].shards.layer else { continue }
                layers[place].resident[name] = resident.first { $0.layer == layer }?.resident
            }
        }
    }
}
