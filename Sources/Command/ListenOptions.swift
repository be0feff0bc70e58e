import ArgumentParser
import Server
import WeightStore

/// The options of `serve` and `node`: where and how the server listens.
struct ListenOptions: ParsableArguments {
    @Option(
        name: .customLong("host"),
        help: ArgumentHelp(
            "The name or address to bind to (default: $WEIGHTSTORE_HOST, or 127.0.0.1).", valueName: "host"))
    private var givenHost: String?
    @Option(
        name: .customLong("port"),
        help: ArgumentHelp(
            "The port; with 0 the system picks a free one, which is printed (default: $WEIGHTSTORE_PORT, or 8000).",
            valueName: "port"))
    private var givenPort: Int?
    @Option(
        name: .customLong("admin-port"),
        help: ArgumentHelp(
            "A second port, for /metrics, /livez and /readyz alone, which answers while the other is busy; with 0 the system "
                + "picks a free one (default: $WEIGHTSTORE_ADMIN_PORT, or none).", valueName: "port"))
    private var givenAdminPort: Int?
    @Option(
        name: .customLong("ready-free"),
        help: ArgumentHelp("/readyz fails if the disk has fewer free bytes.", valueName: "size"))
    private var readyFree = ByteSize(argument: "64MiB")!
    @Option(
        name: .customLong("ready-damage"),
        help: ArgumentHelp("/readyz fails if a larger share of the weights is damaged or missing.", valueName: "share"))
    private var readyDamage = Share(argument: "5%")!
    @Option(
        name: .customLong("tls-certificate"),
        help: ArgumentHelp(
            "Serve https with this certificate (PEM: the server's certificate, then the intermediate ones). A renewed "
                + "certificate is loaded from the files within seconds, without a restart.",
            valueName: "file"), completion: .file())
    private var givenCertificate: String?
    @Option(
        name: .customLong("tls-key"),
        help: ArgumentHelp("The private key of the certificate (PEM, without a passphrase).", valueName: "file"),
        completion: .file())
    private var givenKey: String?

    var host: String { givenHost ?? Setting.environment("WEIGHTSTORE_HOST") ?? "127.0.0.1" }
    var port: Int { givenPort ?? Setting.environment("WEIGHTSTORE_PORT").flatMap { Int(decimal: $0) } ?? 8000 }
    private var adminPort: Int? {
        givenAdminPort ?? Setting.environment("WEIGHTSTORE_ADMIN_PORT").flatMap { Int(decimal: $0) }
    }
    private var tlsCertificate: String? { givenCertificate ?? Setting.environment("WEIGHTSTORE_TLS_CERTIFICATE") }
    private var tlsKey: String? { givenKey ?? Setting.environment("WEIGHTSTORE_TLS_KEY") }

    func validate() throws {
        if let text = Setting.environment("WEIGHTSTORE_PORT"), Int(decimal: text) == nil {
            throw ValidationError("WEIGHTSTORE_PORT=\(text): must be between 0 and 65535")
        }
        guard 0...65535 ~= port else { throw ValidationError("--port \(port): must be between 0 and 65535") }
        if let text = Setting.environment("WEIGHTSTORE_ADMIN_PORT"), Int(decimal: text) == nil {
            throw ValidationError("WEIGHTSTORE_ADMIN_PORT=\(text): must be between 0 and 65535")
        }
        if let adminPort {
            guard 0...65535 ~= adminPort else {
                throw ValidationError("--admin-port \(adminPort): must be between 0 and 65535")
            }
            guard adminPort == 0 || adminPort != port else {
                throw ValidationError("--admin-port \(adminPort): must be another port than --port")
            }
        }
        guard (tlsCertificate == nil) == (tlsKey == nil) else {
            throw ValidationError("--tls-certificate and --tls-key must be given together.")
        }
    }

    /// Whether only this machine can connect.
    var isLoopback: Bool { ["127.0.0.1", "::1", "localhost"].contains(host) }
    var isEncrypted: Bool { tlsCertificate != nil }

    /// - Parameters:
    ///   - tokens: the tokens of which clients must send one; nil allows every client.
    ///   - file: where changed tokens are read.
    func settings(_ tokens: [AccessToken]?, from file: AccessTokenFile) throws -> ServerOptions {
        var settings = ServerOptions(host: host, port: port, tokens: tokens)
        settings.adminPort = adminPort
        settings.readiness.leastFreeBytes = readyFree.bytes
        settings.readiness.mostDamaged = readyDamage.fraction
        settings.build = (ProgramVersion.current, BuildFacts.commit ?? "")
        if file.isPolled { settings.changedTokens = { try file.changed() } }
        if let tlsCertificate, let tlsKey {
            settings.certificate = try ServerCertificate(certificate: tlsCertificate, key: tlsKey)
        }
        return settings
    }

    /// - Parameter port: the port that the server listens on.
    func url(port: Int) -> String {
        "\(isEncrypted ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }

    /// The URL of the operator's listener; nil if the server has none.
    func adminURL(of server: HubServer) -> String? { server.adminPort.map { url(port: $0) } }
}

extension ServerOptions {
    /// The time in which a server has stopped: after its responses in progress have ended.
    var longestStop: Duration { .seconds(drainSeconds + 10) }
}
