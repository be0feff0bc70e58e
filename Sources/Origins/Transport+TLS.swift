import AsyncHTTPClient
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import WeightStore
import WireFormats

extension Transport {
    /// The error of a failed connection, if another attempt would not help: an untrusted server, or a proxy that rejects
    /// the login.
    func permanentFailure(_ error: any Error, at address: Address) -> FetchError? {
        if let rejected = rejectedLogin(error, at: address) { return rejected }
        switch error {
        case let error as NIOSSLExtraError
        where error == .failedToValidateHostname || error == .serverHostnameImpossibleToMatch:
            return .untrusted(
                url: address.name,
                reason:
                    "its certificate is not for \(address.hostname); use a host name from the certificate, or install one for this name"
            )
        case NIOSSLError.handshakeFailed(let cause):
            // NIOSSL reports the cause as text only.
            let words = "\(cause)"
            if words.contains("CERTIFICATE_VERIFY_FAILED") {
                return .untrusted(url: address.name, reason: untrustedReason(address))
            }
            if words.contains("WRONG_VERSION_NUMBER") {
                return .untrusted(
                    url: address.name,
                    reason: "the server does not speak TLS on this port; check whether it serves http")
            }
            if words.contains("PROTOCOL_VERSION") || words.contains("UNSUPPORTED_PROTOCOL") {
                return .untrusted(url: address.name, reason: "the server does not support TLS 1.2 or later")
            }
            return nil
        default: return nil
        }
    }

    /// The cause of a failed connection, for a message.
    func cause(of error: any Error, at address: Address) -> String {
        if let cause = proxyFailure(error, at: address) { return cause }
        switch error {
        case let error as NIOConnectionError:
            let proxy = proxy(for: address)?.name
            guard let failure = error.connectionErrors.first?.error else {
                return "the host name \(proxy.map { "of the proxy \($0) " } ?? "")cannot be resolved"
            }
            let reason = (failure as? IOError).map { String(cString: strerror($0.errnoCode)) }
            return "cannot connect \(proxy.map { "to the proxy \($0) " } ?? "")(\(reason ?? "\(failure)"))"
        case let error as IOError: return "the connection broke (\(String(cString: strerror(error.errnoCode))))"
        case let error as HTTPClientError: return "the connection broke (\(error.shortDescription))"
        default: return "the connection broke (\(error))"
        }
    }

    /// The reason why a certificate is not trusted. The failed handshake does not contain it, so this connects once
    /// more, only to read the server's certificates.
    private func untrustedReason(_ address: Address) -> String {
        func date(_ seconds: Int) -> String { Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601) }
        // Without certificates, the most common reason is reported. A server behind a proxy cannot be reached directly.
        let chain = proxy(for: address) == nil ? (try? certificates(of: address)) ?? [] : []
        let now = time(nil)
        if let ended = chain.map(\.notValidAfter).min(), ended < now {
            return "its certificate expired on \(date(ended)); renew it, or correct this machine's clock"
        }
        if let begins = chain.map(\.notValidBefore).max(), begins > now {
            return "its certificate is not valid before \(date(begins)); check this machine's clock"
        }
        return
            "its certificate is not signed by an authority that this machine trusts; to trust another authority, set SSL_CERT_FILE to its certificate"
    }

    private func certificates(of address: Address) throws -> [NIOSSLCertificate] {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .certificates([])
        let context = try NIOSSLContext(configuration: configuration)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let shown = loop.makePromise(of: [NIOSSLCertificate].self)
        ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let look: NIOSSLCustomVerificationCallback = { chain, verdict in
                        shown.succeed(chain)
                        verdict.succeed(.failed)
                    }
                    // A server name must not be an IP address: without a name, none is sent.
                    let handler =
                        try
                        (try? NIOSSLClientHandler(
                            context: context, serverHostname: address.hostname, customVerificationCallback: look))
                        ?? NIOSSLClientHandler(context: context, serverHostname: nil, customVerificationCallback: look)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .connect(host: address.hostname, port: address.port)
            .whenComplete { outcome in
                switch outcome {
                case .success(let channel): channel.closeFuture.whenComplete { _ in shown.fail(ChannelError.eof) }
                case .failure(let error): shown.fail(error)
                }
            }
        let limit = loop.scheduleTask(in: .nanoseconds(Int64(Int(saturating: options.connectSeconds * 1e9)))) {
            shown.fail(ChannelError.eof)
        }
        defer { limit.cancel() }
        return try shown.futureResult.wait()
    }
}
