import Foundation
import WeightStore
import WireFormats

/// The proxies of outgoing connections, as the environment names them.
///
/// `http_proxy` is for http URLs, `https_proxy` for https URLs, and `all_proxy` for both if these are not set. A name in
/// lower case precedes the same name in upper case, and an empty value counts as not set. `HTTP_PROXY` is ignored if
/// `REQUEST_METHOD` is set: in a CGI program, a header of the request sets it.
///
/// Hosts in `no_proxy`, and this machine's own addresses (`localhost`, 127.0.0.0/8, ::1), are reached directly.
public struct ProxySettings: Sendable {
    private let http: Result<ProxyServer, FetchError>?
    private let https: Result<ProxyServer, FetchError>?
    private let exceptions: ProxyExceptions

    /// The proxies named by this process's environment.
    public static let standard = ProxySettings(environment: ProcessInfo.processInfo.environment)

    /// The proxies named by `environment`. A value that cannot be used is an error of the requests that need it.
    public init(environment: [String: String]) {
        func first(_ names: [String]) -> Result<ProxyServer, FetchError>? {
            for name in names {
                guard let value = environment[name], !value.isEmpty else { continue }
                do throws(ProxyServer.Unusable) {
                    return .success(try ProxyServer(value))
                } catch {
                    // Without the value, which may have a password.
                    return .failure(.unusable(url: name, reason: error.reason))
                }
            }
            return nil
        }
        let isCGI = environment["REQUEST_METHOD"] != nil
        let all = ["all_proxy", "ALL_PROXY"]
        http = first(["http_proxy"] + (isCGI ? [] : ["HTTP_PROXY"]) + all)
        https = first(["https_proxy", "HTTPS_PROXY"] + all)
        let lists = ["no_proxy", "NO_PROXY"].compactMap { environment[$0] }.filter { !$0.isEmpty }
        exceptions = ProxyExceptions(lists.first ?? "")
    }

    /// The proxy for an address; nil if it is reached directly.
    ///
    /// - Throws: ``FetchError/unusable(url:reason:)`` with the name of the variable.
    func server(for address: Address) throws -> ProxyServer? {
        if address.isLoopback || exceptions.contains(host: address.hostname, port: address.port) { return nil }
        return try (address.scheme == "https" ? https : http)?.get()
    }
}
