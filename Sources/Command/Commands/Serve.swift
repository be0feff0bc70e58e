import ArgumentParser
import Files
import Foundation
import Logging
import Origins
import Server
import WeightStore

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve the models over HTTP like the Hugging Face Hub.",
        discussion: """
            Clients of the Hub need only HF_ENDPOINT=http://host:port (https with --tls-certificate). Each request is \
            logged to standard error (--log-format, --log-level); / is the dashboard, /metrics has the metrics for Prometheus, \
            /readyz whether the server can do its work, and why not, and /livez that it runs. With --admin-port the three \
            also have a port of their own, which answers while the other is busy.

            If --token-file or the environment variable WEIGHTSTORE_TOKEN gives tokens, clients must send one of them \
            (HF_TOKEN). "weightstore token new" makes tokens. --tls-certificate and --tls-key encrypt tokens and models on \
            networks where others can listen. Changed tokens and certificates are read within seconds, and at once after \
            SIGHUP; SIGTERM stops, once responses in progress have ended.
            """
    ).examples("serve --host 0.0.0.0 --token-file tokens", "serve --upstream https://huggingface.co")

    @OptionGroup var listen: ListenOptions
    @Option(
        help: ArgumentHelp(
            "A file with the tokens of which clients must send one (default: $WEIGHTSTORE_TOKEN_FILE).",
            valueName: "file"),
        completion: .file())
    var tokenFile: String?
    @Option(help: ArgumentHelp("The most open connections.", valueName: "count")) var connections = 4096
    @Option(
        name: .customLong("upstream"),
        help: ArgumentHelp(
            "A hub from which to fetch requested files that the store lacks (default: $WEIGHTSTORE_UPSTREAM).",
            valueName: "url"))
    private var givenUpstream: String?
    @Option(
        help: ArgumentHelp(
            "The time after which a ref is compared with that of the upstream: 30s, 10m.", valueName: "time"))
    var revalidate = TimeSpan(argument: "60s")!
    @OptionGroup var log: LogOptions
    @OptionGroup var options: StoreOptions

    private var upstream: String? { givenUpstream ?? Setting.environment("WEIGHTSTORE_UPSTREAM") }

    private struct Answer: Encodable {
        let url: String
        let admin: String?
    }

    func validate() throws {
        try OptionRange.check("--revalidate", revalidate, 1...31_536_000, "60s is the default")
        guard connections > 0 else { throw ValidationError("--connections \(connections): must be at least 1") }
    }

    func run() throws {
        let logger = log.logger("weightstore.server")
        let store = try options.open(create: upstream != nil, log: log.logger("weightstore"))
        options.noteReadOnly(store)
        let tokens = AccessTokenFile(tokenFile)
        var settings = try listen.settings(try tokens.read(), from: tokens)
        settings.upstream = upstream
        // A connection that receives a file has two shards open.
        settings.connections = min(connections, max(OpenFiles.limit / 4, 16))
        if !listen.isLoopback {
            let place = "\(listen.host), port \(listen.port)"
            if settings.tokens == nil {
                Terminal.printDiagnostic(
                    "\(place): every client that can connect can read all models; --token-file requires a token")
            }
            if !listen.isEncrypted {
                Terminal.printDiagnostic(
                    "\(place): models and tokens are sent unencrypted; --tls-certificate and --tls-key encrypt them")
            }
        }
        let server = try HubServer(
            store, settings,
            pullThrough: try upstream.map {
                try UpstreamHub(store, url: $0, revalidateSeconds: Double(revalidate.seconds))
            }, logger: logger)
        let stop = Signals.onStop(within: settings.longestStop, isSuccess: true) { [weak store] in
            store?.stopFetching()
            server.stop()
        }
        let hangUp = tokens.reload(into: server, logger)
        try Work().wait { [listen, json = options.json] in
            try await server.run { port in
                let url = listen.url(port: port)
                ServiceManager.ready(url)
                // If standard output is closed, the server still serves its clients.
                let admin = listen.adminURL(of: server)
                try? json ? Terminal.write(json: Answer(url: url, admin: admin)) : Terminal.write("\(url)\n")
                if let admin { logger.notice("metrics and state: \(admin)") }
            }
        }
        withExtendedLifetime((stop, hangUp, store)) {}
    }
}
