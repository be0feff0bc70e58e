import ArgumentParser
import Foundation
import Logging
import Server
import WeightStore

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve the models over HTTP, as the Hugging Face Hub does.",
        discussion: """
            Clients of the Hub need HF_ENDPOINT=http://host:port and nothing else. A line per request goes to standard \
            error; / shows the models, /metrics the figures for Prometheus, /health whether all is well.

            With a token, from --token-file or the environment variable WEIGHTSTORE_TOKEN, clients must show it \
            (HF_TOKEN). There is no TLS here: put a proxy in front where others can listen in.
            """)

    @Option(help: "The name or address to bind to.") var host = "127.0.0.1"
    @Option(help: "The port; 0 picks a free one, which is printed.") var port = 8000
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
        guard 0...65535 ~= port else { throw ValidationError("A port is a number from 0 to 65535.") }
        guard connections > 0 else { throw ValidationError("At least one connection is needed.") }
    }

    func run() throws {
        let store = try options.open(create: upstream != nil)
        var settings = ServerOptions(host: host, port: port, token: try AccessTokenFile.read(tokenFile))
        // A connection that is sent a file has two shards open.
        settings.connections = min(connections, max(OpenFiles.raiseLimit() / 4, 16))
        if settings.token == nil, !["127.0.0.1", "::1", "localhost"].contains(host) {
            Terminal.complain("\(host): everybody who reaches port \(port) can read all models; --token-file asks for a token")
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
        try Waiting.forWork { [host, json = options.json] in
            try await server.run { port in
                let url = "http://\(host.contains(":") ? "[\(host)]" : host):\(port)"
                // The reader of the answer may be gone; the clients are not.
                try? json ? Terminal.write(json: Answer(url: url)) : Terminal.write("\(url)\n")
            }
        }
        withExtendedLifetime((interrupt, store)) {}
    }
}
