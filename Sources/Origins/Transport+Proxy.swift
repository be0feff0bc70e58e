import AsyncHTTPClient
import NIOCore
import WeightStore
import WireFormats

extension Transport {
    /// The proxy for an address; nil if it is reached directly.
    func proxy(for address: Address) -> ProxyServer? {
        // With a setting that cannot be used, no request is sent, and so none fails in another way.
        try? options.proxies.server(for: address)
    }

    /// The cause of a failed connection that a proxy reports; nil for other errors.
    func proxyFailure(_ error: any Error, at address: Address) -> String? {
        guard let error = error as? HTTPClientError, let proxy = proxy(for: address) else { return nil }
        switch error {
        case .invalidProxyResponse: return "the proxy \(proxy.name) did not open a connection"
        case .httpProxyHandshakeTimeout, .socksHandshakeTimeout:
            return "the proxy \(proxy.name) opened no connection within \(options.connectSeconds) s"
        default: return nil
        }
    }

    /// The error of a proxy that rejects the login.
    func rejectedLogin(_ error: any Error, at address: Address) -> FetchError? {
        guard let error = error as? HTTPClientError, error == .proxyAuthenticationRequired,
            let proxy = proxy(for: address)
        else { return nil }
        let problem = proxy.login == nil ? "requires a login" : "rejects the login"
        return .badCredentials(
            url: address.name,
            reason:
                "the proxy \(proxy.name) \(problem); put user and password before its host: user:password@host:port"
        )
    }
}

extension HTTPClient.Configuration.Proxy {
    init(_ server: ProxyServer) {
        switch server.kind {
        case .http:
            self = .server(
                host: server.host, port: server.port,
                authorization: server.login.map {
                    HTTPClient.Authorization.basic(username: $0.user, password: $0.password)
                })
        case .socks: self = .socksServer(host: server.host, port: server.port)
        }
    }
}
