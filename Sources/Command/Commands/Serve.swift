import ArgumentParser
import Foundation
import Logging
import Origins
import Server
import WeightStore

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve the models over HTTP, as the Hugging Face Hub does.",
        discussion: """
            Clients of the Hub need HF_ENDPOINT=http://host:port (https with --tls-certificate) and nothing else. A line per request goes to standard \
            error; / shows the models, /metrics the figures for Prometheus, /health whether all is well.

            With a token, from --token-file or the environment variable WEIGHTSTORE_TOKEN, clients must show it \
            (HF_TOKEN). Where others can listen in, --tls-certificate and --tls-key encrypt it.
            """)

    @OptionGroup var listen: ListenOptions
    @Option(help: ArgumentHelp("A file with the token to ask for.", valueName: "file"), completion: .file())
    var tokenFile: String?
    @Option(help: ArgumentHelp("Open connections at most.", valueName: "count")) var connections = 4096
    @Option(help: ArgumentHelp("A hub to fetch from what is asked for and not in the store.", valueName: "url"))
    var upstream: String?
    @Flag(help: "No line per request.") var quiet = false
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let url: String
    }

    func validate() throws {
        guard connections > 0 else { throw ValidationError("At least one connection is needed.") }
    }

    func run() throws {
        let store = try options.open(create: upstream != nil)
        var settings = try listen.settings(try AccessTokenFile.read(tokenFile))
        // A connection that is sent a file has two shards open.
        settings.connections = min(connections, max(OpenFiles.raiseLimit() / 4, 16))
        if !listen.isLoopback {
            let place = "\(listen.host), port \(listen.port)"
            if settings.token == nil {
                Terminal.complain(
                    "\(place): everybody who gets there can read all models; --token-file asks for a token")
            }
            if !listen.isEncrypted {
                Terminal.complain(
                    "\(place): whoever listens in sees models and tokens; --tls-certificate and --tls-key encrypt them")
            }
        }
        let logger = Logger(label: "weightstore.server") { [quiet] _ in
            ServiceLogHandler(logLevel: quiet ? .warning : .info)
        }
        let server = try HubServer(
            store, settings, pullThrough: try upstream.map { try UpstreamHub(store, url: $0) }, logger: logger)
        let interrupt = Interrupt { [weak store] in
            store?.stopFetching()
            server.stop()
        }
        try Work().wait { [listen, json = options.json] in
            try await server.run { port in
                let url = listen.url(port: port)
                // The reader of the answer may be gone; the clients are not.
                try? json ? Terminal.write(json: Answer(url: url)) : Terminal.write("\(url)\n")
            }
        }
        withExtendedLifetime((interrupt, store)) {}
    }
}
