import Foundation
import NIOSSL
import WeightStore

/// Whose word is taken for who a server is, where it is asked by https.
///
/// The authorities that this system trusts, and those of the file that `SSL_CERT_FILE` names (PEM), as OpenSSL and curl
/// have it on Debian; with `SSL_CERT_DIR` those of its directories instead of the system's.
public struct Trust: Sendable {
    private typealias Read = (configuration: TLSConfiguration, problem: FetchError?)

    private let environment: [String: String]
    private let readOnDemand = OnDemand<Read>()

    var configuration: TLSConfiguration { read.configuration }
    /// Why what the environment names can't be used.
    var problem: FetchError? { read.problem }
    /// Read from the files at the first use.
    private var read: Read { readOnDemand.get { Self.read(environment) } }

    /// What this process's environment says.
    public static let standard = Trust(environment: ProcessInfo.processInfo.environment)

    public init(environment: [String: String]) { self.environment = environment }

    private static func read(_ environment: [String: String]) -> Read {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        // NIOSSL does not do without.
        if !system.contains(where: FileManager.default.fileExists) { configuration.trustRoots = .certificates([]) }
        var problem: FetchError?
        if let directories = value("SSL_CERT_DIR") {
            configuration.trustRoots = .certificates(
                directories.split(separator: ":").flatMap { certificates(in: String($0)) })
        }
        if let file = value("SSL_CERT_FILE") {
            if let certificates = try? NIOSSLCertificate.fromPEMFile(file), !certificates.isEmpty {
                configuration.additionalTrustRoots = [.certificates(certificates)]
            } else {
                problem = .unusable(
                    url: "SSL_CERT_FILE=\(file)", reason: "no certificate in PEM form can be read there")
            }
        }
        return (configuration, problem)
    }

    /// Where NIOSSL looks for the system's authorities.
    private static let system = [
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs",
    ]

    /// Of all files there that have some.
    private static func certificates(in directory: String) -> [NIOSSLCertificate] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        // Such a directory holds other files, too.
        return names.sorted().flatMap { (try? NIOSSLCertificate.fromPEMFile("\(directory)/\($0)")) ?? [] }
    }
}
