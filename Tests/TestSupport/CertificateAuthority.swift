import Foundation

/// A certificate authority of a test, and the certificates that it signs, created by the `openssl` program.
package struct CertificateAuthority: Sendable {
    package struct Certificate: Sendable {
        /// PEM: the certificate, and those between it and the authority that clients trust.
        package let chain: String
        package let key: String

        /// The arguments of a server that uses it.
        package var arguments: [String] { ["--tls-certificate", chain, "--tls-key", key] }
    }

    /// The certificate that its clients trust.
    package let certificate: String
    private let key: String
    private let directory: TemporaryDirectory
    /// Those between this one and the one that clients trust.
    private let between: [String]

    package init(_ directory: TemporaryDirectory, name: String = "authority") throws {
        (certificate, key) = (directory("\(name).pem"), directory("\(name).key"))
        (self.directory, between) = (directory, [])
        try Self.openssl(
            [
                "req", "-x509", "-days", "2", "-nodes", "-keyout", key, "-out", certificate, "-subj", "/CN=\(name)",
                "-addext", "basicConstraints=critical,CA:TRUE",
            ] + Self.curve)
    }

    private init(_ certificate: Certificate, _ directory: TemporaryDirectory) {
        (self.certificate, key, self.directory) = (certificate.chain, certificate.key, directory)
        between = [certificate.chain]
    }

    /// The environment of a client that trusts it.
    package var environment: [String: String] { ["SSL_CERT_FILE": certificate] }

    /// An authority whose certificate this one signs.
    package func intermediate(_ name: String) throws -> CertificateAuthority {
        CertificateAuthority(try sign(name, "basicConstraints=critical,CA:TRUE", clock: nil), directory)
    }

    /// - Parameters:
    ///   - name: of the files; those that are there are replaced.
    ///   - names: as openssl writes them: `IP:127.0.0.1`, `DNS:localhost`.
    ///   - clock: the clock's offset when the certificate is created, such as `-10d`. It is valid for a day.
    package func issue(_ name: String, for names: String = "IP:127.0.0.1,DNS:localhost", clock: String? = nil) throws
        -> Certificate
    {
        try sign(name, "subjectAltName=\(names)", clock: clock)
    }

    private func sign(_ name: String, _ facts: String, clock: String?) throws -> Certificate {
        let result = Certificate(chain: directory("\(name).pem"), key: directory("\(name).key"))
        let request = directory("\(name).csr")
        try Self.openssl(
            ["req", "-new", "-nodes", "-keyout", result.key, "-out", request, "-subj", "/CN=\(name)"] + Self.curve)
        let extensions = try directory.write(facts + "\n", to: "\(name).ext")
        try Self.openssl(
            [
                "x509", "-req", "-in", request, "-CA", certificate, "-CAkey", key, "-days", "1", "-extfile", extensions,
                "-set_serial", "\(UInt32.random(in: 1 ... .max))", "-out", result.chain,
            ], clock: clock)
        let chain = try ([result.chain] + between).map { try contents($0) }
        try Data(chain.joined()).write(to: URL(fileURLWithPath: result.chain))
        return result
    }

    private static let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]

    private static func openssl(_ arguments: [String], clock: String? = nil) throws {
        let command = (clock.map { ["faketime", "-f", $0] } ?? []) + ["openssl"] + arguments
        let result = try ChildProcess(command).result()
        guard result.status == 0 else { throw Failure(command: command.joined(separator: " "), errors: result.errors) }
    }

    package struct Failure: Error {
        package let command: String
        package let errors: String
    }
}
