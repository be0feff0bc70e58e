import ArgumentParser
import Server

/// Where and how a server listens: what `serve` and `node` take.
struct ListenOptions: ParsableArguments {
    @Option(help: "The name or address to bind to.") var host = "127.0.0.1"
    @Option(help: "The port; 0 picks a free one, which is printed.") var port = 8000
    @Option(
        help: ArgumentHelp(
            "Speak https, with this certificate (PEM: the server's own, then those between it and an authority). A renewed one is taken from the files within seconds, without a restart.",
            valueName: "file"), completion: .file())
    var tlsCertificate: String?
    @Option(
        help: ArgumentHelp("The key of the certificate (PEM, without a passphrase).", valueName: "file"),
        completion: .file())
    var tlsKey: String?

    func validate() throws {
        guard 0...65535 ~= port else { throw ValidationError("A port is a number from 0 to 65535.") }
        guard (tlsCertificate == nil) == (tlsKey == nil) else {
            throw ValidationError("--tls-certificate and --tls-key belong together.")
        }
    }

    /// Whether nobody beyond this machine can listen in.
    var isLoopback: Bool { ["127.0.0.1", "::1", "localhost"].contains(host) }
    var isEncrypted: Bool { tlsCertificate != nil }

    func settings(_ token: AccessToken?) throws -> ServerOptions {
        var settings = ServerOptions(host: host, port: port, token: token)
        if let tlsCertificate, let tlsKey {
            settings.certificate = try ServerCertificate(certificate: tlsCertificate, key: tlsKey)
        }
        return settings
    }

    /// - Parameter port: the one that is listened at.
    func url(port: Int) -> String {
        "\(isEncrypted ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
}
