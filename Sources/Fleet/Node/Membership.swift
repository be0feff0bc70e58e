import Foundation
import Synchronization

/// This node's announcements in etcd. They last as long as its lease, and the lease as long as it is renewed.
final class Membership: Sendable {
    private let etcd: EtcdKeys
    private let info: NodeInfo
    private struct State {
        var lease: String?
        /// The last announcement under this lease.
        var holdings: NodeHoldings?
    }
    private let state = Mutex(State())

    /// Seconds without a sign of life after which a node's announcements expire.
    static let leaseSeconds = 15

    init(etcd: EtcdKeys, info: NodeInfo) {
        self.etcd = etcd
        self.info = info
    }

    /// Renews the lease, or obtains a new one, and announces changes.
    func announce(_ holdings: NodeHoldings) throws {
        var lease = state.withLock { $0.lease }
        if let known = lease, try !etcd.client.keepAlive(known) { lease = nil }
        if lease == nil {
            let granted = try etcd.client.grant(seconds: Self.leaseSeconds)
            try etcd.client.put(etcd.nodes + info.name, Self.json(info), lease: granted)
            state.withLock { $0 = State(lease: granted) }
            lease = granted
        }
        guard state.withLock({ $0.holdings }) != holdings else { return }
        try etcd.client.put(etcd.holdings + info.name, Self.json(holdings), lease: lease)
        state.withLock { $0.holdings = holdings }
    }

    /// Removes this node's announcements.
    func leave() {
        guard let lease = state.withLock({ $0.lease }) else { return }
        // If etcd is not available, the lease expires by itself.
        try? etcd.client.revoke(lease)
    }

    private static func json(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }
}
