import Foundation
import NIOSSL
import Synchronization
import WeightStore

/// A certificate and its key, from files: how a server shows who it is. The files are read again while it serves, so that
/// a renewed certificate needs no restart.
///
/// Connections keep the certificate that they began with. What is put there and can't be used is told, and not taken.
public final class ServerCertificate: Sendable {
    /// PEM: the server's own certificate, then those between it and an authority.
    public let certificatePath: String
    /// PEM, without a passphrase.
    public let keyPath: String

    private struct Files: Equatable {
        let chain: [UInt8]
        let key: [UInt8]
    }

    /// What is served with, and what was last complained of.
    private struct State {
        var files: Files
        var chain: [NIOSSLCertificate]
        var context: NIOSSLContext
        var trouble: ServerError?
    }

    private let state: Mutex<State>

    /// - Throws: ``ServerError/certificate(path:reason:)`` if a file can't be read, holds something else, the two do not
    ///   belong together, or the certificate has ended or not begun.
    public init(certificate: String, key: String) throws(ServerError) {
        (certificatePath, keyPath) = (certificate, key)
        state = Mutex(try Self.load(try Self.read(certificate, key), certificate, key))
    }

    /// For the next connection.
    var context: NIOSSLContext { state.withLock { $0.context } }

    enum News {
        case renewed(until: String)
        case trouble(ServerError)
    }

    /// Looks at the files, and takes what is new in them. Blocks.
    ///
    /// - Returns: nil if there is nothing that was not told before.
    func look() -> News? {
        do throws(ServerError) {
            let files = try Self.read(certificatePath, keyPath)
            let (known, chain) = state.withLock { ($0.files, $0.chain) }
            if files == known {
                try Self.checkDates(chain, certificatePath)
                state.withLock { $0.trouble = nil }
                return nil
            }
            let new = try Self.load(files, certificatePath, keyPath)
            state.withLock { $0 = new }
            return .renewed(until: Self.date(new.chain[0].notValidAfter))
        } catch {
            return state.withLock { state in
                if state.trouble == error { return nil }
                state.trouble = error
                return .trouble(error)
            }
        }
    }

    private static func read(_ certificate: String, _ key: String) throws(ServerError) -> Files {
        func bytes(_ path: String) throws(ServerError) -> [UInt8] {
            do {
                return try FileSystem.read(path)
            } catch .system(_, _, let code) {
                throw .certificate(path: path, reason: String(cString: strerror(code)))
            } catch {
                throw .certificate(path: path, reason: "\(error)")
            }
        }
        return Files(chain: try bytes(certificate), key: try bytes(key))
    }

    private static func load(_ files: Files, _ certificate: String, _ key: String) throws(ServerError) -> State {
        guard let chain = try? NIOSSLCertificate.fromPEMBytes(files.chain), !chain.isEmpty else {
            throw .certificate(path: certificate, reason: "no certificate in PEM form can be read in it")
        }
        try checkDates(chain, certificate)
        guard let privateKey = try? NIOSSLPrivateKey(bytes: files.key, format: .pem) else {
            let isEncrypted = String(decoding: files.key, as: UTF8.self).contains("ENCRYPTED")
            throw .certificate(
                path: key,
                reason: isEncrypted
                    ? "the key has a passphrase; \"openssl pkey\" writes it without one"
                    : "no private key in PEM form can be read in it")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        // A client that keeps a connection for later does not see that it is closed, and does not answer.
        configuration.shutdownTimeout = .seconds(1)
        guard let context = try? NIOSSLContext(configuration: configuration) else {
            throw .certificate(path: key, reason: "it is not the key of the first certificate in \(certificate)")
        }
        return State(files: files, chain: chain, context: context)
    }

    private static func checkDates(_ chain: [NIOSSLCertificate], _ path: String) throws(ServerError) {
        let now = time(nil)
        for certificate in chain {
            guard certificate.notValidAfter > now else {
                throw .certificate(
                    path: path, reason: "it ended on \(date(certificate.notValidAfter)); put a new one there")
            }
            guard certificate.notValidBefore <= now else {
                throw .certificate(
                    path: path,
                    reason: "it begins on \(date(certificate.notValidBefore)), if this machine's clock is right")
            }
        }
    }

    private static func date(_ seconds: time_t) -> String {
        Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
    }
}
