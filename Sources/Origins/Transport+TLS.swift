import AsyncHTTPClient
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import WeightStore

extension Transport {
    /// What made a connection by https fail, if another attempt would not help.
    func distrust(_ error: any Error, at address: Address) -> FetchError? {
        switch error {
        case let error as NIOSSLExtraError
        where error == .failedToValidateHostname || error == .serverHostnameImpossibleToMatch:
            return .untrusted(
                url: address.name,
                reason:
                    "its certificate is not for \(address.hostname): ask for it by a name that it is for, or give it one for this name"
            )
        case NIOSSLError.handshakeFailed(let cause):
            // What happened is told in words alone.
            let words = "\(cause)"
            if words.contains("CERTIFICATE_VERIFY_FAILED") {
                return .untrusted(url: address.name, reason: doubt(address))
            }
            if words.contains("WRONG_VERSION_NUMBER") {
                return .untrusted(url: address.name, reason: "it does not speak TLS there: is it http?")
            }
            if words.contains("PROTOCOL_VERSION") || words.contains("UNSUPPORTED_PROTOCOL") {
                return .untrusted(url: address.name, reason: "it speaks no TLS of version 1.2 or later")
            }
            return nil
        default: return nil
        }
    }

    /// Why a certificate is not trusted. The handshake that failed does not say, so the server is asked once more, only to
    /// see what it shows.
    private func doubt(_ address: Address) -> String {
        func date(_ seconds: Int) -> String { Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601) }
        // If it shows nothing this time, the common reason is the likely one.
        let chain = (try? certificates(of: address)) ?? []
        let now = time(nil)
        if let ended = chain.map(\.notValidAfter).min(), ended < now {
            return "its certificate ended on \(date(ended)): it needs a new one, unless this machine's clock is wrong"
        }
        if let begins = chain.map(\.notValidBefore).max(), begins > now {
            return "its certificate begins on \(date(begins)): is this machine's clock right?"
        }
        return
            "its certificate is signed by nobody whom this machine trusts; for an authority of your own, name its certificate with SSL_CERT_FILE"
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
                    // A bare address is not told to the server.
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
        let limit = loop.scheduleTask(in: .nanoseconds(Int64(options.connectSeconds * 1e9))) {
            shown.fail(ChannelError.eof)
        }
        defer { limit.cancel() }
        return try shown.futureResult.wait()
    }
}
