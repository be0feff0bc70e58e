import Foundation
import Logging
import Origins
import Synchronization
import WeightStore

/// Selects the peers from which a node requests a shard before it requests it from the object store. So many nodes that
/// need a new version at the same time read it from the object store about once, all together.
///
/// **A tree for each shard.** All nodes that follow a model are ordered by a hash of their names and the shard's digest
/// (rendezvous hashing), so every node knows the order without communication. The first node reads the object store;
/// each other node requests the shard from its parent in a tree with a fan-out of four. So each node is at the top for
/// some shards, and serves each shard to at most four others. A node requests only from nodes before it in the order:
/// there is no cycle, even if two nodes know different peers.
///
/// **Waiting.** A peer that is itself waiting responds with 503, and the request is repeated for up to
/// ``waitSeconds``. A peer that is dead, slow, or sends wrong bytes is left out of the order for a while; this
/// costs one time-out. The object store is always the last choice. A node that cannot reach it also requests from the
/// nodes after it in the order.
final class PeerSelector: NearerOrigins {
    static let fanOut = 4
    /// The number of peers that are tried for a shard before the object store.
    private static let mostPeers = 3
    /// Seconds for which a peer may respond that it is waiting itself.
    static let waitSeconds = 30.0

    private struct Peer {
        let info: NodeInfo
        let origin: PeerOrigin
        var avoidedUntil: ContinuousClock.Instant?
        /// The number of consecutive failures.
        var failures = 0
    }

    private struct State {
        var peers: [String: Peer] = [:]
        /// The object store counts as unreachable until this time, so that more peers are tried first.
        var isolatedUntil: ContinuousClock.Instant?
        var fromPeers = 0
        var fromOrigin = 0
        var isLoaded = false
    }

    /// This node's name; nil for a process that does not serve peers.
    private let ownName: String?
    /// Shared by all peers, so that trust roots are loaded once.
    private let transport: Transport
    private let logger: Logger?
    private let load: (@Sendable () throws -> [NodeInfo])?
    private let state = Mutex(State())

    /// - Parameter load: returns the peers when they are first needed, for a process without a ``Watcher``.
    init(
        ownName: String?, options: TransportOptions = TransportOptions(), logger: Logger? = nil,
        load: (@Sendable () throws -> [NodeInfo])? = nil
    ) {
        self.ownName = ownName
        self.logger = logger
        self.load = load
        var options = options
        // No retries: another peer or the object store is tried instead.
        options.attempts = 1
        options.connectSeconds = 2
        options.idleSeconds = Double(PeerOrigin.longestWait) + 4
        options.minimumBytesPerSecond = 128 << 10
        transport = Transport(options)
    }

    /// Bytes of the shards fetched so far.
    var bytes: (fromPeers: Int, fromOrigin: Int) { state.withLock { ($0.fromPeers, $0.fromOrigin) } }

    /// Replaces the list of peers.
    func set(_ nodes: [NodeInfo]) {
        state.withLock { state in
            var peers: [String: Peer] = [:]
            for info in nodes where info.name != ownName {
                if let known = state.peers[info.name], known.info == info {
                    peers[info.name] = known
                } else if let origin = try? PeerOrigin(info.url, transport: transport) {
                    // A node whose address is refused here (plain http) is not a peer.
                    peers[info.name] = Peer(info: info, origin: origin)
                }
            }
            state.peers = peers
            state.isLoaded = true
        }
    }

    // MARK: The order

    /// The number of peers through which a shard reaches this node: 0 if this node reads the object store.
    func depth(of digest: ContentDigest, model: String) -> Int {
        var place = order(digest, model).above.count
        var depth = 0
        while place > 0 {
            place = (place - 1) / Self.fanOut
            depth += 1
        }
        return depth
    }

    /// The peers before and after this node in the order.
    private func order(_ digest: ContentDigest, _ model: String) -> (above: [String], below: [String]) {
        let now = ContinuousClock.now
        let names = state.withLock { state in
            state.peers.values.filter { $0.info.follows(model: model) && ($0.avoidedUntil.map { $0 < now } ?? true) }
                .map(\.info.name)
        }
        let ranked = names.map { (score: Self.score(digest, $0), name: $0) }
            .sorted { ($0.score, $0.name) > ($1.score, $1.name) }
        guard let ownName else { return (ranked.map(\.name), []) }
        let mine = (Self.score(digest, ownName), ownName)
        let above = ranked.prefix { ($0.score, $0.name) > mine }
        return (above.map(\.name), ranked.dropFirst(above.count).map(\.name))
    }

    private static func score(_ digest: ContentDigest, _ name: String) -> UInt64 {
        let bytes = Array(digest.bytes) + Array(name.utf8)
        return bytes.withUnsafeBytes { ContentDigest(of: $0) }.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    // MARK: Requests

    func origins(for request: ShardRequest) -> [any Origin] {
        chain(request.digest, request.model).map {
            WaitingPeer(selector: self, name: $0.name, origin: $0.origin, waits: ownName != nil)
        }
    }

    /// Requests a manifest from the same peers.
    ///
    /// - Returns: nil if no peer has it.
    func manifest(_ digest: ContentDigest, model: String, _ work: Work) -> RevisionShards? {
        for peer in chain(digest, model) {
            do {
                let peer = WaitingPeer(selector: self, name: peer.name, origin: peer.origin, waits: ownName != nil)
                let bytes = try peer.manifest(digest, work)
                return try RevisionShards(bytes, digest: digest, origin: peer.origin.url)
            } catch {
                // `WaitingPeer` has recorded the failure already, except wrong bytes.
                if case FetchError.wrongDigest = error { avoid(peer.name, seconds: 600) }
            }
        }
        return nil
    }

    private func chain(_ digest: ContentDigest, _ model: String) -> [(name: String, origin: PeerOrigin)] {
        if let load, !state.withLock({ $0.isLoaded }) {
            // Without peers the object store remains.
            set((try? load()) ?? [])
        }
        let order = order(digest, model)
        var names: [String] = []
        if ownName == nil {
            names = Array(order.above.shuffled().prefix(Self.mostPeers))
        } else {
            var place = order.above.count
            while place > 0 && names.count < Self.mostPeers {
                place = (place - 1) / Self.fanOut
                names.append(order.above[place])
            }
        }
        let isIsolated = state.withLock { ($0.isolatedUntil ?? .now) > .now }
        if isIsolated {
            names += (order.above + order.below).filter { !names.contains($0) }.shuffled().prefix(Self.mostPeers)
        }
        return state.withLock { state in names.compactMap { name in state.peers[name].map { (name, $0.origin) } } }
    }

    // MARK: Results

    func recordResult(from url: String, _ request: ShardRequest, _ error: (any Error)?) {
        let name = state.withLock { state in state.peers.first { $0.value.origin.url == url }?.key }
        switch error {
        case nil:
            state.withLock { state in
                if let name {
                    state.fromPeers += request.bytes
                    state.peers[name]?.failures = 0
                } else {
                    state.fromOrigin += request.bytes
                    state.isolatedUntil = nil
                }
            }
        case StoreError.originDiffers?:
            // A peer with damaged shards, or a malicious one.
            if let name { avoid(name, seconds: 600) }
        case .some:
            if name == nil { state.withLock { $0.isolatedUntil = .now + .seconds(30) } }
        }
    }

    /// Records a peer's failure.
    fileprivate func failed(_ name: String, _ error: any Error) {
        switch error {
        case FetchError.notFound: avoid(name, seconds: 5)
        case FetchError.refused(_, 503, _, _): avoid(name, seconds: 10)
        case FetchError.unauthorized: avoid(name, seconds: 300)
        case FetchError.untrusted:
            logger?.warning("\(error)")
            avoid(name, seconds: 300)
        case is StoreError:
            // Not the peer's failure: a full disk, a cancelled fetch.
            break
        default:
            let failures = state.withLock { state in
                state.peers[name]?.failures += 1
                return state.peers[name]?.failures ?? 1
            }
            avoid(name, seconds: min(15 * Double(1 << min(failures, 5)), 300))
        }
    }

    private func avoid(_ name: String, seconds: Double) {
        state.withLock { $0.peers[name]?.avoidedUntil = .now + .seconds(seconds) }
    }
}

/// A peer that may itself be waiting for the requested shard: requests are repeated for ``PeerSelector/waitSeconds``.
private struct WaitingPeer: Origin {
    let selector: PeerSelector
    let name: String
    let origin: PeerOrigin
    let waits: Bool

    var url: String { origin.url }

    func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try patiently(work) { try origin.fetch(request, waiting: waits, work, body) }
    }

    func manifest(_ digest: ContentDigest, _ work: Work) throws -> [UInt8] {
        try patiently(work) { try origin.manifest(digest, waiting: waits, work) }
    }

    private func patiently<Result>(_ work: Work, _ ask: () throws -> Result) throws -> Result {
        // A peer that waits answers after seconds; one that is overloaded answers at once, and is not flooded.
        var backoff = Backoff(firstSeconds: 0.2, longestSeconds: 3)
        let end = ContinuousClock.now + .seconds(waits ? PeerSelector.waitSeconds : 0)
        while true {
            do {
                return try ask()
            } catch FetchError.refused(_, 503, _, _) where ContinuousClock.now < end {
                try backoff.wait(work)
            } catch {
                selector.failed(name, error)
                throw error
            }
        }
    }
}

extension FleetTable.Peer {
    init(_ info: NodeInfo) throws {
        self.init(
            name: info.name, url: info.url,
            follows: String(decoding: try JSONEncoder().encode(info.follows), as: UTF8.self))
    }

    func info() throws -> NodeInfo {
        NodeInfo(
            name: name, url: url, follows: try JSONDecoder().decode([Follow].self, from: Data(follows.utf8)))
    }
}
