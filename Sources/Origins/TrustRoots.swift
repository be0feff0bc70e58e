import Foundation
import NIOSSL
import WeightStore

/// The authorities whose certificates are accepted from https servers.
///
/// They are the system's authorities and those in the PEM file named by `SSL_CERT_FILE`, as in OpenSSL and curl on
/// Debian. With `SSL_CERT_DIR`, the authorities in its directories replace the system's.
public struct TrustRoots: Sendable {
    private typealias Read = (configuration: TLSConfiguration, problem: FetchError?)

    private let environment: [String: String]
    private let readOnDemand = OnDemand<Read>()

    var configuration: TLSConfiguration { read.configuration }
    /// Why the authorities named by the environment cannot be used; nil if they can.
    var problem: FetchError? { read.problem }
    /// The files are read at the first use.
    private var read: Read { readOnDemand.get { Self.read(environment) } }

    /// The authorities named by this process's environment.
    public static let standard = TrustRoots(environment: ProcessInfo.processInfo.environment)

    /// The authorities named by `environment`; files are read at the first use.
    public init(environment: [String: String]) { self.environment = environment }

    private static func read(_ environment: [String: String]) -> Read {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        // By default, NIOSSL fails on a system without authorities.
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

    /// The paths at which NIOSSL looks for the system's authorities.
    private static let system = [
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs",
    ]

    /// The certificates of all files in a directory.
    private static func certificates(in directory: String) -> [NIOSSLCertificate] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        // Other files in the directory are skipped.
        return names.sorted().flatMap { (try? NIOSSLCertificate.fromPEMFile("\(directory)/\($0)")) ?? [] }
    }
}
