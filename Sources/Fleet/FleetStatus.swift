import Foundation

/// The fleet at a glance.
public struct FleetStatus: Sendable, Encodable {
    public struct Node: Sendable, Encodable {
        public let info: NodeInfo
        /// nil if it has not said yet.
        public let holdings: NodeHoldings?
        /// What it has, beside what the map says now.
        public let states: [RefState]

        public var lags: Bool { states.isEmpty || !states.allSatisfy(\.isCurrent) }
    }

    public let origin: String
    public let models: [ModelVersions]
    /// Those that live; nil without etcd.
    public let nodes: [Node]?
}

extension Fleet {
    /// Looks at the bucket, and asks etcd for the nodes.
    public func status() throws -> FleetStatus {
        let models = try models().map { try map.read($0) }.filter { $0.generation > 0 }
        return FleetStatus(origin: origin, models: models, nodes: try etcd.map { try nodes($0, models) })
    }

    private func nodes(_ etcd: EtcdMap, _ models: [ModelVersions]) throws -> [FleetStatus.Node] {
        func decode<Value: Decodable>(_ type: Value.Type, _ prefix: String) throws -> [Value] {
            // What can't be read is no node's.
            try etcd.client.range(prefix).values.compactMap { try? JSONDecoder().decode(type, from: Data($0.value)) }
        }
        let holdings = try decode(NodeHoldings.self, etcd.holdings)
        return try decode(NodeInfo.self, etcd.nodes).sorted { $0.name < $1.name }.map { info in
            let said = holdings.first { $0.name == info.name }
            let states = models.flatMap { versions in
                versions.targets(info.follows).sorted { $0.key < $1.key }.map { ref, target in
                    let state = said?.holdings.first { $0.model == versions.model && $0.ref == ref }
                    let isThere = state?.digest == target.digest
                    // A node that has not heard of the version yet can't know what it lacks of it.
                    let missing = isThere ? 0 : state?.wanted == target.version ? state!.missing : target.bytes
                    return RefState(
                        model: versions.model, ref: ref, wanted: target.version,
                        held: state?.digest.flatMap { versions.version($0)?.version }, digest: state?.digest,
                        missing: missing)
                }
            }
            return FleetStatus.Node(info: info, holdings: said, states: states)
        }
    }
}
