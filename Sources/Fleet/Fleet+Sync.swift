import Foundation
import Origins
import WeightStore

/// A node's state of a ref, compared with the version map.
public typealias RefState = NodeHoldings.Holding

extension Fleet {
    /// A store's state of the followed refs, compared with the versions that the bucket names now.
    ///
    /// - Throws: ``FleetError/unknown(what:name:detail:)`` for a model that the fleet lacks, or a failed request's
    ///   error.
    public func check(_ follows: [Follow], of store: Store) throws -> [RefState] {
        let versions = try Set(follows.map(\.model)).sorted().map { try self.versions(of: $0) }
        return try syncer(store).holdings(versions, following: follows)
    }

    /// Syncs a store once to the versions that the bucket names now.
    ///
    /// - Throws: ``FleetError/unknown(what:name:detail:)`` for a model or ref that the fleet lacks;
    ///   ``FleetError/inconsistent(place:finding:)`` if objects of the bucket were lost; a failed request's error;
    ///   `CancellationError`.
    @discardableResult
    public func sync(_ follows: [Follow], into store: Store, work: Work = Work()) async throws -> SyncSummary {
        try await work.run { [self] in try syncBlocking(follows, into: store, work: work) }
    }

    /// Like ``sync(_:into:work:)``; blocks.
    @discardableResult
    public func syncBlocking(_ follows: [Follow], into store: Store, work: Work = Work()) throws -> SyncSummary {
        let fleet = bound(to: work)
        let ledger = try Ledger.read(fleet.bucket)
        let versions = try Set(follows.map(\.model)).sorted().map { model in
            let versions = try fleet.versions(of: model)
            try ledger.check(versions, in: fleet.bucket)
            return versions
        }
        for follow in follows {
            guard let ref = follow.ref, versions.first(where: { $0.model == follow.model })?.refs[ref] == nil else {
                continue
            }
            throw FleetError.unknown(what: "ref", name: "\(follow)")
        }
        let syncer = syncer(store)
        store.setNearerOrigins(syncer.selector)
        defer { store.setNearerOrigins(nil) }
        return try syncer.sync(versions, following: follows, work: work)
    }

    private func syncer(_ store: Store) -> Syncer {
        Syncer(
            store: store, fleet: self, selector: PeerSelector(ownName: nil, load: peers(store)),
            inFlight: InFlightRegistry())
    }

    /// The nodes: from etcd, or if that fails, from the table that this machine's node writes.
    private func peers(_ store: Store) -> @Sendable () throws -> [NodeInfo] {
        let (etcd, table) = (etcd, FleetTable(store, origin: origin))
        return {
            if let etcd, let nodes = try? etcd.client.range(etcd.nodes).values {
                // An unreadable entry is not a peer.
                return nodes.compactMap { try? JSONDecoder().decode(NodeInfo.self, from: Data($0.value)) }
            }
            return try table.peers().map { try $0.info() }
        }
    }

    /// Registers, in a process that is not a node, the peers that this machine's node knows: fetches try them before the
    /// models' origins.
    public static func registerPeers(in store: Store) {
        store.setNearerOrigins(
            PeerSelector(
                ownName: nil,
                load: { [weak store] in
                    guard let store else { return [] }
                    return try FleetTable.allPeers(store).map { try $0.info() }
                }))
    }
}
