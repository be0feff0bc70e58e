import Foundation
import Logging
import Origins
import Support
import Synchronization
import WeightStore

/// A node of a fleet: it follows models, keeps its store at the versions that their refs name, and announces its state.
///
///     let node = try FleetNode(store, fleet, NodeOptions(name: "node7", follows: [try Follow("org/name@prod")]))
///     node.run(at: "peer+https://node7:8000")       // until node.stop()
///
/// A `HubServer` with this node's ``inFlight`` serves the peers.
///
/// Four threads: one watches etcd, one polls the bucket, one announces this node, and the caller's thread syncs the
/// store. They share the catalog, with the versions that were received, and two wake signals.
public final class FleetNode: Sendable {
    private let store: Store
    private let fleet: Fleet
    private let options: NodeOptions
    private let table: FleetTable
    private let selector: PeerSelector
    private let watcher: Watcher
    private let syncer: Syncer
    private let changed = WakeSignal()
    private let holdingsChanged = WakeSignal()
    private let work = Work()
    private let failure = Mutex<String?>(nil)
    private let logger: Logger
    /// For the loops of ``run(at:)`` that run beside its caller.
    private let threads: WorkerThreads

    /// The shards that are being fetched into the store.
    public let inFlight = InFlightRegistry()

    /// Creates a node that does nothing until ``run(at:)``.
    ///
    /// - Throws: `SupportError` if the system cannot start the node's threads.
    public init(
        _ store: Store, _ fleet: Fleet, _ options: NodeOptions, logger: Logger = Logger(label: "weightstore.node")
    ) throws {
        threads = try WorkerThreads(count: 3)
        // Requests to the bucket end when the node stops.
        let fleet = fleet.bound(to: work)
        self.store = store
        self.fleet = fleet
        self.options = options
        self.logger = logger
        table = FleetTable(store, origin: fleet.origin)
        selector = PeerSelector(ownName: options.name, logger: logger)
        syncer = Syncer(store: store, fleet: fleet, selector: selector, inFlight: inFlight)
        watcher = Watcher(
            fleet: fleet, table: table, follows: options.follows, selector: selector, pollSeconds: options.pollSeconds,
            changed: changed, work: work, logger: logger)
    }

    /// How often all of etcd's keys were read.
    var fullReadCount: Int { watcher.fullReadCount }

    /// Runs the node. Blocks until ``stop()``.
    ///
    /// - Parameter url: the address at which peers reach this node.
    public func run(at url: String) {
        store.setNearerOrigins(selector)
        defer { store.setNearerOrigins(nil) }
        let running = DispatchGroup()
        let announcing: @Sendable () -> Void = { [self] in announce(url) }
        for body in [watcher.watch, watcher.poll, announcing] as [@Sendable () -> Void] {
            running.enter()
            threads.submit {
                body()
                running.leave()
            }
        }
        syncLoop()
        running.wait()
    }

    /// Makes ``run(at:)`` return soon.
    public func stop() {
        work.cancel()
        changed.ring()
        holdingsChanged.ring()
    }

    /// The followed models, as this node last received them.
    private func receivedVersions() throws -> [ModelVersions] {
        let models = Set(options.follows.map(\.model))
        return try table.entries().filter { models.contains($0.model) }
            .map { try ModelVersions(decoding: Array($0.versions.utf8), place: "store.db") }
    }

    private func syncLoop() {
        var failures = 0
        // -1: versions received before a restart are synced at once.
        var seen = -1
        while !work.isCancelled {
            changed.wait(beyond: seen, seconds: failures == 0 ? 30 : min(Double(failures), 10))
            if work.isCancelled { return }
            let now = changed.count
            seen = now
            do {
                let start = ContinuousClock.now
                let (changed, work) = (changed, work)
                let summary = try syncer.sync(try receivedVersions(), following: options.follows, work: work) {
                    changed.count != now || work.isCancelled
                }
                report(summary, (ContinuousClock.now - start) / .seconds(1))
                failures = 0
                failure.withLock { $0 = nil }
            } catch is CancellationError {
                continue
            } catch {
                failures += 1
                failure.withLock { $0 = "\(error)" }
                logger.warning("\(error)")
            }
            holdingsChanged.ring()
        }
    }

    private func report(_ summary: SyncSummary, _ seconds: Double) {
        let amounts =
            "\(summary.shards) shards, \(summary.bytes) bytes, \(summary.fromPeers) from peers, "
            + "\(summary.fromOrigin) from the bucket, \(String(format: "%.2f", seconds)) s"
        for move in summary.moved {
            logger.notice("\(move.model)@\(move.ref) → v\(move.version) \(move.digest.short): \(amounts)")
        }
    }

    /// This node's state of the refs that it follows.
    ///
    /// - Throws: if the catalog cannot be read.
    public func holdings() throws -> NodeHoldings {
        let bytes = selector.bytes
        return NodeHoldings(
            name: options.name, changeSource: watcher.source.rawValue,
            holdings: try syncer.holdings(try receivedVersions(), following: options.follows),
            fromPeers: bytes.fromPeers,
            fromOrigin: bytes.fromOrigin, failure: failure.withLock { $0 })
    }

    private func announce(_ url: String) {
        guard let etcd = fleet.etcd else { return }
        let membership = Membership(
            etcd: etcd, info: NodeInfo(name: options.name, url: url, follows: options.follows))
        var isFailing = false
        while !work.isCancelled {
            let seen = holdingsChanged.count
            do {
                try membership.announce(try holdings())
                if isFailing { logger.info("this node is announced again") }
                isFailing = false
            } catch {
                if !isFailing { logger.warning("cannot announce this node: \(error)") }
                isFailing = true
            }
            holdingsChanged.wait(beyond: seen, seconds: Double(Membership.leaseSeconds) / 4)
        }
        membership.leave()
    }
}

/// A node's name and the refs that it follows.
public struct NodeOptions: Sendable {
    /// Unique in the fleet.
    public var name: String
    /// The models and refs to follow.
    public var follows: [Follow]
    /// Seconds between polls of the bucket while etcd is not available.
    public var pollSeconds = 5.0

    /// Options with the default poll interval.
    public init(name: String, follows: [Follow]) {
        self.name = name
        self.follows = follows
    }
}
