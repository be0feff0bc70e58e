import ArgumentParser
import Dispatch
import Files
import Fleet
import Foundation
import Glibc
import Logging
import Origins
import Server
import Support
import WeightStore

struct Node: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node",
        abstract: "Run a node of the fleet: follow models, keep this store at their versions, serve peers.",
        discussion: """
            A node follows org/name (all its refs) or org/name@ref. etcd reports changes at once; without etcd the \
            node polls the bucket. Only shards that differ are fetched, from the nearest node that has them. The node \
            also serves everything that "weightstore serve" serves.

            Clients must send the token (WEIGHTSTORE_TOKEN or --token-file), which is the same for the whole fleet. If \
            other machines can connect, a token and https are required: either --tls-certificate and --tls-key, for \
            the name or address that the node announces, or a TLS proxy that --advertise names. Peers trust the \
            system's authorities and those in the file SSL_CERT_FILE. A changed token file or certificate is read within \
            seconds, and at once after SIGHUP.
            """
    ).examples("node org/llama@prod --origin s3://fleet/models --host 0.0.0.0")

    @Argument(help: ArgumentHelp("The models to follow.", valueName: "model")) var follow: [String]
    @OptionGroup var listen: ListenOptions
    @Option(
        help: ArgumentHelp(
            "The URL of this node for peers (default: host and port): https://node7.example.", valueName: "url"))
    var advertise: String?
    @Option(help: ArgumentHelp("The node's name (default: host name and port).", valueName: "name")) var name: String?
    @Option(
        help: ArgumentHelp(
            "A file with the token of the fleet (default: $WEIGHTSTORE_TOKEN_FILE).", valueName: "file"),
        completion: .file())
    var tokenFile: String?
    @Option(help: ArgumentHelp("How often to poll the bucket if etcd is not available: 30s, 1m.", valueName: "time"))
    var poll =
        TimeSpan(argument: "5s")!
    @OptionGroup var log: LogOptions
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let name: String
        let url: String
        let admin: String?
    }

    func validate() throws {
        if follow.isEmpty { throw ValidationError("Name at least one model to follow.") }
        try OptionRange.check("--poll", poll, 1...86_400, "5s is the default")
    }

    func run() throws {
        let follows = try follow.map { try Follow($0) }
        let tokens = AccessTokenFile(tokenFile, isShown: true)
        let required = try tokens.read()
        try check(hasToken: required != nil)
        let fleet = try fleetOptions.fleet()
        let store = try options.open(create: true, log: log.logger("weightstore"))
        var settings = try listen.settings(required, from: tokens)
        settings.connections = min(settings.connections, max(OpenFiles.limit / 4, 16))
        let logger = log.logger("weightstore.node")
        // Requests are not logged.
        let serving = log.logger("weightstore.server", atLeast: .notice)
        var nodeOptions = NodeOptions(
            name: name ?? "\(Fleet.host):\(listen.port == 0 ? Int(getpid()) : listen.port)", follows: follows)
        nodeOptions.pollSeconds = Double(poll.seconds)
        let node = try FleetNode(store, fleet, nodeOptions, logger: logger)
        settings.fleet = { try FleetOverview(of: fleet) }
        settings.nodeState = { try NodeState(node.holdings()) }
        let server = try HubServer(store, settings, inFlight: RegistryFetches(registry: node.inFlight), logger: serving)
        let stop = Signals.onStop(within: settings.longestStop, isSuccess: true) { [weak store] in
            node.stop()
            store?.stopFetching()
            server.stop()
        }
        let hangUp = tokens.reload(into: server, logger)
        let (thread, running) = (try WorkerThreads(count: 1), DispatchGroup())
        defer {
            node.stop()
            running.wait()
        }
        try Work().wait { [listen, advertise, json = options.json, name = nodeOptions.name] in
            try await server.run { port in
                let url = advertise ?? listen.url(port: port)
                ServiceManager.ready(url)
                // If standard output is closed, the node still serves its peers.
                let admin = listen.adminURL(of: server)
                try? json
                    ? Terminal.write(json: Answer(name: name, url: url, admin: admin)) : Terminal.write("\(url)\n")
                if let admin { logger.notice("metrics and state: \(admin)") }
                running.enter()
                thread.submit {
                    node.run(at: "peer+" + url)
                    running.leave()
                }
            }
        }
        withExtendedLifetime((stop, hangUp, store)) {}
    }
}

extension Node {
    /// Requires a token and encryption if other machines can connect.
    private func check(hasToken: Bool) throws {
        if let advertise, listen.isEncrypted, !advertise.hasPrefix("https://") {
            throw ValidationError(
                "--advertise \(advertise): must be https, because with --tls-certificate this node serves https only")
        }
        if advertise == nil, ["0.0.0.0", "::"].contains(listen.host) {
            throw ValidationError(
                "--host \(listen.host): peers cannot connect to this address; give the node's URL with --advertise")
        }
        if listen.isLoopback { return }
        guard hasToken else {
            throw ValidationError(
                "--host \(listen.host): reachable from other machines, so a token is required: set WEIGHTSTORE_TOKEN "
                    + "or give --token-file")
        }
        let isBehindProxy = advertise?.hasPrefix("https://") ?? false
        guard listen.isEncrypted || isBehindProxy || TransportOptions().allowsPlainHTTP else {
            throw ValidationError(
                """
                --host \(listen.host): reachable from other machines, so encryption is required: give --tls-certificate \
                and --tls-key, or the URL of a TLS proxy with --advertise https://…, or allow plain http with --insecure
                """
            )
        }
    }
}

extension FleetOverview {
    /// Reads the state of a fleet.
    fileprivate init(of fleet: Fleet) throws {
        let status = try fleet.status()
        let nodes = (status.nodes ?? []).map { node in
            Node(
                name: node.info.name, url: node.info.url.withoutURLSecrets, changes: node.holdings?.changeSource,
                failure: node.holdings?.failure,
                holdings: node.states.map { state in
                    Holding(
                        name: "\(state.model)@\(state.ref)", wanted: state.wanted, held: state.held,
                        missing: state.missing)
                })
        }
        self.init(origin: status.origin.withoutURLSecrets, nodes: nodes)
    }
}

extension NodeState {
    fileprivate init(_ holdings: NodeHoldings) {
        self.init()
        let behind = holdings.holdings.filter { !$0.isCurrent }
        refs = holdings.holdings.count
        refsBehind = behind.count
        // A ref that the node lacks altogether is behind by all of its versions.
        versionsBehind = behind.map { max(($0.wanted ?? 0).subtracting(saturating: $0.held ?? 0), 1) }.max() ?? 0
        missingBytes = behind.saturatingSum(\.missing)
        fromPeers = holdings.fromPeers
        fromOrigin = holdings.fromOrigin
        isFailing = holdings.failure != nil
    }
}

/// Gives the node's server access to the fetches in progress.
private struct RegistryFetches: InFlightFetches {
    let registry: InFlightRegistry

    func arrival(of digest: ContentDigest, within seconds: Double) async throws -> Bool? {
        switch try await registry.wait(for: digest, seconds: seconds) {
        case .ended: true
        case .inFlight: false
        case .unknown: nil
        }
    }
}
