import Foundation
import NIOSSL
import Synchronization
import WeightStore

/// A server's certificate and its key, from files. The files are polled while the server runs, so that a renewed
/// certificate needs no restart.
///
/// Open connections keep their certificate. An unusable certificate is logged, and the previous one stays in use.
public final class ServerCertificate: Sendable {
    /// PEM: the server's certificate, then the intermediate ones.
    public let certificatePath: String
    /// PEM, without a passphrase.
    public let keyPath: String

    private struct Files: Equatable {
        let chain: [UInt8]
        let key: [UInt8]
    }

    /// The certificate in use, and the last reported error.
    private struct State {
        var files: Files
        var chain: [NIOSSLCertificate]
        var context: NIOSSLContext
        var failure: ServerError?
    }

    private let state: Mutex<State>

    /// - Throws: ``ServerError/certificate(path:reason:)`` if a file cannot be read or parsed, the key is not that of
    ///   the certificate, or the certificate has expired or is not yet valid.
    public init(certificate: String, key: String) throws(ServerError) {
        (certificatePath, keyPath) = (certificate, key)
        state = Mutex(try Self.load(try Self.read(certificate, key), certificate, key))
    }

    /// The TLS context of new connections.
    var context: NIOSSLContext { state.withLock { $0.context } }

    /// When the first of its certificates expires, in seconds since 1970.
    var expiry: Int { state.withLock { $0.chain.map { Int($0.notValidAfter) }.min() ?? 0 } }

    enum Change {
        case renewed(until: String)
        case failed(ServerError)
    }

    /// Reads the files, and uses their certificate if it changed. Blocks.
    ///
    /// - Parameter again: also return an error that was returned before.
    /// - Returns: nil if nothing changed, and for an error that was returned before.
    func look(again: Bool = false) -> Change? {
        do throws(ServerError) {
            let files = try Self.read(certificatePath, keyPath)
            let (known, chain) = state.withLock { ($0.files, $0.chain) }
            if files == known {
                try Self.checkDates(chain, certificatePath)
                state.withLock { $0.failure = nil }
                return nil
            }
            let new = try Self.load(files, certificatePath, keyPath)
            state.withLock { $0 = new }
            return .renewed(until: Self.date(new.chain[0].notValidAfter))
        } catch {
            return state.withLock { state in
                if state.failure == error && !again { return nil }
                state.failure = error
                return .failed(error)
            }
        }
    }

    private static func read(_ certificate: String, _ key: String) throws(ServerError) -> Files {
        func bytes(_ path: String) throws(ServerError) -> [UInt8] {
            do {
                return try FileSystem.read(path, limit: 16 << 20)
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
            throw .certificate(path: certificate, reason: "contains no valid PEM certificate")
        }
        try checkDates(chain, certificate)
        guard let privateKey = try? NIOSSLPrivateKey(bytes: files.key, format: .pem) else {
            let isEncrypted = String(decoding: files.key, as: UTF8.self).contains("ENCRYPTED")
            throw .certificate(
                path: key,
                reason: isEncrypted
                    ? "the key has a passphrase; \"openssl pkey\" writes it without one"
                    : "contains no valid PEM private key")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        // A client with an idle connection does not notice the shutdown, and does not answer it.
        configuration.shutdownTimeout = .seconds(1)
        guard let context = try? NIOSSLContext(configuration: configuration) else {
            throw .certificate(path: key, reason: "not the key of the first certificate in \(certificate)")
        }
        return State(files: files, chain: chain, context: context)
    }

    private static func checkDates(_ chain: [NIOSSLCertificate], _ path: String) throws(ServerError) {
        let now = time(nil)
        for certificate in chain {
            guard certificate.notValidAfter > now else {
                throw .certificate(
                    path: path, reason: "expired on \(date(certificate.notValidAfter)); replace it")
            }
            guard certificate.notValidBefore <= now else {
                throw .certificate(
                    path: path,
                    reason: "not valid before \(date(certificate.notValidBefore)); check this machine's clock")
            }
        }
    }

    private static func date(_ seconds: time_t) -> String {
        Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
    }
}
