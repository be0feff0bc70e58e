import ArgumentParser
import Dispatch
import Fleet
import Foundation
import Glibc
import Logging
import Origins
import Server
import WeightStore

struct Node: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node",
        abstract: "Be a node of the fleet: follow models, keep this store at their versions, serve the peers.",
        discussion: """
            What is followed is org/name (all its refs) or org/name@ref. Changes are heard from etcd at once, and from the \
            bucket without it; only shards that differ travel, from the nearest node that has them. It serves what \
            "weightstore serve" serves, too, to whoever shows the token: WEIGHTSTORE_TOKEN, or --token-file, the same for the \
            whole fleet; beyond this machine it is a must, as is https: by --tls-certificate and --tls-key, for the name or \
            address that is announced, or by a proxy that --advertise names. Peers trust the system's authorities and those \
            of the file SSL_CERT_FILE.
            """)

    @Argument(help: ArgumentHelp("What to follow.", valueName: "model")) var follow: [String]
    @OptionGroup var listen: ListenOptions
    @Option(
        help: ArgumentHelp(
            "Where peers reach this node, if not at host and port: https://node7.example.", valueName: "url"))
    var advertise: String?
    @Option(help: ArgumentHelp("The node's name (default: host name and port).", valueName: "name")) var name: String?
    @Option(help: ArgumentHelp("A file with the token to ask for and to show.", valueName: "file"), completion: .file())
    var tokenFile: String?
    @Option(help: ArgumentHelp("How often to look into the bucket without etcd.", valueName: "span")) var poll =
        TimeSpan(argument: "5s")!
    @Flag(help: "Warnings only.") var quiet = false
    @OptionGroup var fleetOptions: FleetOptions
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let name: String
        let url: String
    }

    func validate() throws {
        if follow.isEmpty { throw ValidationError("Name at least one model to follow.") }
    }

    func run() throws {
        let follows = try follow.map { try Follow($0) }
        let token = try AccessTokenFile.read(tokenFile, isShown: true)
        try check(hasToken: token != nil)
        let fleet = try fleetOptions.fleet()
        let store = try options.open(create: true)
        var settings = try listen.settings(token)
        settings.connections = min(settings.connections, max(OpenFiles.raiseLimit() / 4, 16))
        let logger = Logger(label: "weightstore.node") { [quiet] _ in
            ServiceLogHandler(logLevel: quiet ? .warning : .info)
        }
        // Without a line per request.
        let serving = Logger(label: "weightstore.server") { [quiet] _ in
            ServiceLogHandler(logLevel: quiet ? .warning : .notice)
        }
        var nodeOptions = NodeOptions(
            name: name ?? "\(Fleet.host):\(listen.port == 0 ? Int(getpid()) : listen.port)", follows: follows)
        nodeOptions.pollSeconds = Double(max(poll.seconds, 1))
        let node = FleetNode(store, fleet, nodeOptions, logger: logger)
        let server = try HubServer(store, settings, arrivals: BoardArrivals(board: node.board), logger: serving)
        let interrupt = Interrupt { [weak store] in
            node.stop()
            store?.stopFetching()
            server.stop()
        }
        let running = DispatchGroup()
        defer {
            node.stop()
            running.wait()
        }
        try Work().wait { [listen, advertise, json = options.json, name = nodeOptions.name] in
            try await server.run { port in
                let url = advertise ?? listen.url(port: port)
                // The reader of the answer may be gone; the peers are not.
                try? json ? Terminal.write(json: Answer(name: name, url: url)) : Terminal.write("\(url)\n")
                running.enter()
                Thread {
                    node.run(at: "peer+" + url)
                    running.leave()
                }.start()
            }
        }
        withExtendedLifetime((interrupt, store)) {}
    }
}

extension Node {
    /// That nobody beyond this machine gets, or sees, what is not for him.
    private func check(hasToken: Bool) throws {
        if let advertise, listen.isEncrypted, !advertise.hasPrefix("https://") {
            throw ValidationError(
                "\(advertise) is not https, and with --tls-certificate this node speaks nothing else.")
        }
        if advertise == nil, ["0.0.0.0", "::"].contains(listen.host) {
            throw ValidationError(
                "Peers can't ask for \(listen.host): say with --advertise where they reach this node.")
        }
        if listen.isLoopback { return }
        guard hasToken else {
            throw ValidationError(
                "\(listen.host) is beyond this machine: a token must be asked for (WEIGHTSTORE_TOKEN or --token-file).")
        }
        let isBehindProxy = advertise?.hasPrefix("https://") ?? false
        guard listen.isEncrypted || isBehindProxy || TransportOptions().allowsPlainHTTP else {
            throw ValidationError(
                "\(listen.host) is beyond this machine, where others can listen in: give --tls-certificate and --tls-key, or the address of a TLS proxy with --advertise https://…, or allow plain http with --insecure."
            )
        }
    }
}

/// What a node expects, as its server asks for it.
private struct BoardArrivals: Arrivals {
    let board: ArrivalBoard

    func arrival(of digest: ContentDigest, within seconds: Double) async throws -> Bool? {
        switch try await board.wait(for: digest, seconds: seconds) {
        case .arrived: true
        case .underWay: false
        case .unknown: nil
        }
    }
}
