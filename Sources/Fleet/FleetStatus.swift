import Foundation

/// The state of a fleet: its models and nodes.
public struct FleetStatus: Sendable, Encodable {
    /// The state of one node.
    public struct Node: Sendable, Encodable {
        /// Its name, address and followed refs.
        public let info: NodeInfo
        /// nil if the node has not reported yet.
        public let holdings: NodeHoldings?
        /// The node's state of each followed ref, compared with the version map.
        public let states: [RefState]

        /// Whether the node follows no known ref, or lacks the current version of one.
        public var lags: Bool { states.isEmpty || !states.allSatisfy(\.isCurrent) }
    }

    /// The bucket's URL.
    public let origin: String
    /// The versions and refs of every model.
    public let models: [ModelVersions]
    /// The live nodes; nil without etcd.
    public let nodes: [Node]?
}

extension Fleet {
    /// Reads the models from the bucket, and the nodes from etcd.
    ///
    /// - Throws: a failed request's error; ``FleetError/malformed(place:reason:)``.
    public func status() throws -> FleetStatus {
        let models = try models().map { try map.read($0) }.filter { $0.generation > 0 }
        return FleetStatus(origin: origin, models: models, nodes: try etcd.map { try nodes($0, models) })
    }

    private func nodes(_ etcd: EtcdKeys, _ models: [ModelVersions]) throws -> [FleetStatus.Node] {
        func decode<Value: Decodable>(_ type: Value.Type, _ prefix: String) throws -> [Value] {
            // An unreadable value is skipped.
            try etcd.client.range(prefix).values.compactMap { try? JSONDecoder().decode(type, from: Data($0.value)) }
        }
        let holdings = try decode(NodeHoldings.self, etcd.holdings)
        return try decode(NodeInfo.self, etcd.nodes).sorted { $0.name < $1.name }.map { info in
            let reported = holdings.first { $0.name == info.name }
            let states = models.flatMap { versions in
                versions.targets(info.follows).sorted { $0.key < $1.key }.map { ref, target in
                    let state = reported?.holdings.first { $0.model == versions.model && $0.ref == ref }
                    let isThere = state?.digest == target.digest
                    // A node that has not received the version yet cannot know which bytes it lacks.
                    let missing = isThere ? 0 : state?.wanted == target.version ? state!.missing : target.bytes
                    return RefState(
                        model: versions.model, ref: ref, wanted: target.version,
                        held: state?.digest.flatMap { versions.version($0)?.version }, digest: state?.digest,
                        missing: missing)
                }
            }
            return FleetStatus.Node(info: info, holdings: reported, states: states)
        }
    }
}
