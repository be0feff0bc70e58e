import Foundation
import Logging
import Synchronization
import WeightStore

/// Receives changes of the version map: from etcd at once, and by polling the bucket, rarely with etcd and often
/// without.
///
/// **Position.** etcd's events are applied in order, and the revision at which they were applied is stored in the
/// catalog in the same transaction; a watch starts after it. So a node that was down or disconnected receives all
/// changes that it missed. If etcd has compacted that part of its history, or is another cluster than before, all keys
/// are read at one revision, and the watch resumes from there. As a safeguard, all keys are also read every ten
/// minutes.
///
/// **Order.** A model's generation only grows here: a change that arrives late, twice, or from both sources is not
/// applied.
final class Watcher: Sendable {
    enum ChangeSource: String, Sendable {
        case watch, poll
    }

    private let fleet: Fleet
    private let table: FleetTable
    private let follows: [Follow]
    private let selector: PeerSelector
    private let changed: WakeSignal
    private let work: Work
    private let logger: Logger
    private struct State {
        var source = ChangeSource.poll
        var nodes: [String: NodeInfo] = [:]
        /// The last revision up to which all changes were received.
        var receivedRevision = 0
        var lastFull = ContinuousClock.now
    }
    private let state = Mutex(State())
    private let poller = WakeSignal()
    private let fullReads = Atomic<Int>(0)

    /// Seconds after which all keys are read from etcd again.
    private static let fullSeconds = 600.0
    /// Seconds between polls of the bucket while etcd is watched.
    private static let sweepSeconds = 300.0
    private let pollSeconds: Double

    init(
        fleet: Fleet, table: FleetTable, follows: [Follow], selector: PeerSelector, pollSeconds: Double,
        changed: WakeSignal,
        work: Work, logger: Logger
    ) {
        self.fleet = fleet
        self.table = table
        self.follows = follows
        self.selector = selector
        self.pollSeconds = pollSeconds
        self.changed = changed
        self.work = work
        self.logger = logger
    }

    var source: ChangeSource { state.withLock { $0.source } }

    /// How often all keys were read.
    var fullReadCount: Int { fullReads.load(ordering: .relaxed) }

    // MARK: etcd

    /// Watches etcd. Blocks until the work is cancelled.
    func watch() {
        guard let etcd = fleet.etcd else { return }
        var failures = 0
        var isConnected = false
        while !work.isCancelled {
            do {
                if !isConnected { try connect(etcd) }
                isConnected = true
                try watch(etcd)
                failures = 0
            } catch FetchError.stalled(_, EtcdClient.silenceSeconds, _) {
                // No event: either there was none, or the connection is dead, and the next one will show it.
                failures = 0
            } catch {
                if work.isCancelled { return }
                isConnected = false
                if follow(.poll) {
                    logger.warning(
                        "etcd: \(error) Polling the bucket every \(pollSeconds) s until etcd is available again.")
                }
                failures += 1
                poller.ring()
                pause(.random(in: 0.2...1) * min(Double(failures), 10))
            }
        }
    }

    /// Reads the nodes, which are not stored, and so finds out whether this is the same cluster as before. Writes the
    /// changes that etcd may have missed.
    private func connect(_ etcd: EtcdKeys) throws {
        let nodes = try etcd.client.range(etcd.nodes)
        setNodes(nodes.values)
        let known = try table.position()
        if let known, known.cluster == nodes.cluster, known.revision <= nodes.revision {
            state.withLock { $0.receivedRevision = max(known.revision, $0.receivedRevision) }
        } else {
            state.withLock { $0.receivedRevision = 0 }
            try readAll(etcd)
        }
        // etcd may lack versions that were read from the bucket in the meantime.
        for entry in try table.entries() where follows.contains(where: { $0.model == entry.model }) {
            try etcd.announce(try ModelVersions(decoding: Array(entry.versions.utf8), place: "store.db"))
        }
    }

    /// One watch, until it ends.
    private func watch(_ etcd: EtcdKeys) throws {
        if state.withLock({ $0.lastFull }).duration(to: .now) > .seconds(Self.fullSeconds) { try readAll(etcd) }
        let from = state.withLock { $0.receivedRevision } + 1
        if follow(.watch) { logger.info("watching etcd from revision \(from)") }
        var isCompacted = false
        try etcd.client.watch(etcd.shared, from: from, work) { watched in
            switch watched {
            case .compacted: isCompacted = true
            case .events(let cluster, let revision, let events):
                try apply(events, .init(cluster: cluster, revision: revision), etcd)
                state.withLock { $0.receivedRevision = max($0.receivedRevision, revision) }
            }
            return !isCompacted
        }
        guard isCompacted else { return }
        logger.info("etcd no longer has the changes since revision \(from) (compacted): reading all keys")
        try readAll(etcd)
    }

    private func apply(_ events: [(key: String, value: [UInt8]?)], _ position: FleetTable.Position, _ etcd: EtcdKeys)
        throws
    {
        var entries: [FleetTable.Entry] = []
        for event in events {
            if event.key.hasBytePrefix(etcd.models) {
                if let entry = try entry(event.key, event.value, etcd) { entries.append(entry) }
            } else if event.key.hasBytePrefix(etcd.nodes) {
                let name = String(event.key.dropFirst(etcd.nodes.count))
                var nodes = state.withLock { $0.nodes }
                // An unreadable value is not a peer.
                nodes[name] = event.value.flatMap { try? info($0) }
                set(nodes)
            }
        }
        guard !entries.isEmpty else { return }
        try apply(entries, at: position)
    }

    /// Stores received entries, and wakes the sync if a followed model has a newer one.
    private func apply(_ entries: [FleetTable.Entry], at position: FleetTable.Position?) throws {
        let newer = try table.apply(entries, at: position)
        if newer.contains(where: { model in follows.contains { $0.model == model } }) { changed.ring() }
    }

    private func readAll(_ etcd: EtcdKeys) throws {
        // Models and nodes at one revision, from which the watch resumes.
        let snapshot = try etcd.client.range(etcd.shared)
        let position = FleetTable.Position(cluster: snapshot.cluster, revision: snapshot.revision)
        let entries = try snapshot.values.filter { $0.key.hasBytePrefix(etcd.models) }.compactMap {
            try entry($0.key, $0.value, etcd)
        }
        setNodes(snapshot.values.filter { $0.key.hasBytePrefix(etcd.nodes) })
        try apply(entries, at: position)
        fullReads.add(1, ordering: .relaxed)
        state.withLock { state in
            state.receivedRevision = max(state.receivedRevision, position.revision)
            state.lastFull = .now
        }
    }

    private func entry(_ key: String, _ value: [UInt8]?, _ etcd: EtcdKeys) throws -> FleetTable.Entry? {
        guard let value else { return nil }
        do {
            let versions = try ModelVersions(decoding: value, place: key)
            return FleetTable.Entry(
                model: versions.model, generation: versions.generation, versions: String(decoding: value, as: UTF8.self)
            )
        } catch {
            // Not written by WeightStore: it must not keep other entries from being received.
            logger.warning("\(error)")
            return nil
        }
    }

    private func info(_ value: [UInt8]) throws -> NodeInfo {
        try JSONDecoder().decode(NodeInfo.self, from: Data(value))
    }

    private func setNodes(_ values: [EtcdClient.KeyValue]) {
        // An unreadable value is not a peer.
        set(Dictionary(values.compactMap { value in (try? info(value.value)).map { ($0.name, $0) } }) { $1 })
    }

    private func set(_ nodes: [String: NodeInfo]) {
        state.withLock { $0.nodes = nodes }
        let infos = nodes.values.sorted { $0.name < $1.name }
        selector.set(infos)
        do {
            try table.setPeers(infos.map { try FleetTable.Peer($0) })
        } catch {
            // Only other processes on this machine need them.
            logger.warning("\(error)")
        }
    }

    /// Sets the source of changes.
    ///
    /// - Returns: whether it differs from the previous one.
    private func follow(_ source: ChangeSource) -> Bool {
        state.withLock { state in
            defer { state.source = source }
            return state.source != source
        }
    }

    // MARK: The bucket

    /// Polls the bucket for newer generations, and updates etcd if it lacks them. Blocks until the work is cancelled.
    func poll() {
        if fleet.etcd == nil { logger.info("no etcd: polling the bucket every \(pollSeconds) s") }
        var heads: [String: String] = [:]
        while !work.isCancelled {
            let seen = poller.count
            for model in Set(follows.map(\.model)).sorted() {
                do {
                    try look(model, &heads[model])
                } catch {
                    logger.warning("\(error)")
                }
            }
            let rest = source == .watch ? Self.sweepSeconds : pollSeconds
            let end = ContinuousClock.now + .seconds(rest * .random(in: 0.8...1.2))
            while ContinuousClock.now < end, poller.count == seen, !work.isCancelled {
                poller.wait(beyond: seen, seconds: 0.5)
            }
            // Each failure of etcd rings; the pause limits the rate of polls.
            if poller.count != seen { pause(min(pollSeconds, 1)) }
        }
    }

    private func look(_ model: String, _ head: inout String?) throws {
        let known = try table.entries().first { $0.model == model }?.generation ?? 0
        guard let versions = try fleet.map.read(model, after: known, head: &head) else { return }
        let text = String(decoding: try versions.encoded(), as: UTF8.self)
        try apply([.init(model: model, generation: versions.generation, versions: text)], at: nil)
        fleet.map.announce(versions)
    }

    private func pause(_ seconds: Double) {
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end, !work.isCancelled { usleep(50_000) }
    }
}
