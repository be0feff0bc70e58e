import Foundation
import Logging
import Origins
import Synchronization
import WeightStore

/// Whom a node asks for a shard before the object store, so that many nodes which need the same new version at once read
/// it there about once.
///
/// **A tree for each shard.** All nodes that follow a model are put in an order by a hash of their names and the shard's
/// digest (rendezvous hashing), so everybody knows the order without a word being said. The first in it reads the object
/// store; each other one asks the node above it in a tree with a fan-out of four. So each node is at the top for some
/// shards, and hands each shard on to four others at most. Whoever asks is above nobody whom it asks: there is no circle,
/// even if two nodes do not know the same others.
///
/// **Waiting.** A peer that is itself waiting says so as long as it is, and is asked again, for a while. One that is dead,
/// slow, or gives wrong bytes is left out for a while, and the order closes up: it costs one time-out. In the end, there
/// is always the object store; and a node that can't reach that asks those below it.
final class PeerBook: NearerOrigins {
    static let fanOut = 4
    /// So many peers are asked for a shard before the object store is.
    private static let mostAsked = 3
    /// Seconds that a peer may say "not yet".
    static let patienceSeconds = 30.0

    private struct Peer {
        let info: NodeInfo
        let origin: PeerOrigin
        var avoidedUntil: ContinuousClock.Instant?
        /// In a row.
        var failures = 0
    }

    private struct State {
        var peers: [String: Peer] = [:]
        /// Until when the object store is not worth asking first.
        var isolatedUntil: ContinuousClock.Instant?
        var fromPeers = 0
        var fromOrigin = 0
        var isLoaded = false
    }

    /// This node's name; nil for a process that nobody asks.
    private let me: String?
    /// Of all peers: what it takes to trust them is kept once.
    private let transport: Transport
    private let logger: Logger?
    private let load: (@Sendable () throws -> [NodeInfo])?
    private let state = Mutex(State())

    /// - Parameter load: finds the peers when they are first needed, for those who are not told of them.
    init(
        me: String?, options: TransportOptions = TransportOptions(), logger: Logger? = nil,
        load: (@Sendable () throws -> [NodeInfo])? = nil
    ) {
        self.me = me
        self.logger = logger
        self.load = load
        var options = options
        // What a peer does not give at once, another one or the object store does.
        options.attempts = 1
        options.connectSeconds = 2
        options.idleSeconds = Double(PeerOrigin.longestWait) + 4
        options.leastBytesPerSecond = 128 << 10
        transport = Transport(options)
    }

    /// Bytes of shards that came.
    var bytes: (fromPeers: Int, fromOrigin: Int) { state.withLock { ($0.fromPeers, $0.fromOrigin) } }

    /// Says who there is.
    func set(_ nodes: [NodeInfo]) {
        state.withLock { state in
            var peers: [String: Peer] = [:]
            for info in nodes where info.name != me {
                if let known = state.peers[info.name], known.info == info {
                    peers[info.name] = known
                } else if let origin = try? PeerOrigin(info.url, transport: transport) {
                    // One with an address that is refused here (plain http) is no peer.
                    peers[info.name] = Peer(info: info, origin: origin)
                }
            }
            state.peers = peers
            state.isLoaded = true
        }
    }

    // MARK: The order

    /// How many asked whom before a shard gets here: 0 for whoever reads the object store.
    func depth(of digest: ContentDigest, model: String) -> Int {
        var place = order(digest, model).above.count
        var depth = 0
        while place > 0 {
            place = (place - 1) / Self.fanOut
            depth += 1
        }
        return depth
    }

    /// The peers before and behind this node, the first first.
    private func order(_ digest: ContentDigest, _ model: String) -> (above: [String], below: [String]) {
        let now = ContinuousClock.now
        let names = state.withLock { state in
            state.peers.values.filter { $0.info.follows(model: model) && ($0.avoidedUntil.map { $0 < now } ?? true) }
                .map(\.info.name)
        }
        let ranked = names.map { (score: Self.score(digest, $0), name: $0) }
            .sorted { ($0.score, $0.name) > ($1.score, $1.name) }
        guard let me else { return (ranked.map(\.name), []) }
        let mine = (Self.score(digest, me), me)
        let above = ranked.prefix { ($0.score, $0.name) > mine }
        return (above.map(\.name), ranked.dropFirst(above.count).map(\.name))
    }

    private static func score(_ digest: ContentDigest, _ name: String) -> UInt64 {
        let bytes = Array(digest.bytes) + Array(name.utf8)
        return bytes.withUnsafeBytes { ContentDigest(of: $0) }.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    // MARK: Asking

    func origins(for request: ShardRequest) -> [any Origin] {
        chain(request.digest, request.model).map {
            WaitingPeer(book: self, name: $0.name, origin: $0.origin, waits: me != nil)
        }
    }

    /// A manifest, from the same peers.
    ///
    /// - Returns: nil if none gives it.
    func manifest(_ digest: ContentDigest, model: String, _ work: Work) -> RevisionShards? {
        for peer in chain(digest, model) {
            do {
                let peer = WaitingPeer(book: self, name: peer.name, origin: peer.origin, waits: me != nil)
                let bytes = try peer.manifest(digest, work)
                return try RevisionShards(bytes, digest: digest, origin: peer.origin.url)
            } catch {
                // Heard of already; wrong bytes are as good as none.
                if case FetchError.wrongDigest = error { avoid(peer.name, seconds: 600) }
            }
        }
        return nil
    }

    private func chain(_ digest: ContentDigest, _ model: String) -> [(name: String, origin: PeerOrigin)] {
        if let load, !state.withLock({ $0.isLoaded }) {
            // Without peers there is the object store.
            set((try? load()) ?? [])
        }
        let order = order(digest, model)
        var names: [String] = []
        if me == nil {
            names = Array(order.above.shuffled().prefix(Self.mostAsked))
        } else {
            var place = order.above.count
            while place > 0 && names.count < Self.mostAsked {
                place = (place - 1) / Self.fanOut
                names.append(order.above[place])
            }
        }
        let isIsolated = state.withLock { ($0.isolatedUntil ?? .now) > .now }
        if isIsolated {
            names += (order.above + order.below).filter { !names.contains($0) }.shuffled().prefix(Self.mostAsked)
        }
        return state.withLock { state in names.compactMap { name in state.peers[name].map { (name, $0.origin) } } }
    }

    // MARK: Hearing

    func heard(from url: String, _ request: ShardRequest, _ error: (any Error)?) {
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
            // Broken, or worse.
            if let name { avoid(name, seconds: 600) }
        case .some:
            if name == nil { state.withLock { $0.isolatedUntil = .now + .seconds(30) } }
        }
    }

    /// A peer failed to give something.
    fileprivate func failed(_ name: String, _ error: any Error) {
        switch error {
        case FetchError.notFound: avoid(name, seconds: 5)
        case FetchError.refused(_, 503, _, _): avoid(name, seconds: 10)
        case FetchError.unauthorized: avoid(name, seconds: 300)
        case FetchError.untrusted:
            logger?.warning("\(error)")
            avoid(name, seconds: 300)
        case is StoreError:
            // Ours: a full disk, a cancelled fetch.
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

/// A peer that may itself be waiting for what it is asked for.
private struct WaitingPeer: Origin {
    let book: PeerBook
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
        let end = ContinuousClock.now + .seconds(waits ? PeerBook.patienceSeconds : 0)
        while true {
            do {
                return try ask()
            } catch FetchError.refused(_, 503, _, _) where ContinuousClock.now < end {
                if work.isCancelled { throw CancellationError() }
            } catch {
                book.failed(name, error)
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
