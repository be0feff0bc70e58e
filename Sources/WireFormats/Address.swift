import Foundation
import Glibc

/// A parsed http or https URL.
package struct Address: Sendable, Hashable {
    package let text: String
    /// The name in errors: without query, fragment and user, which may contain secrets.
    package let name: String
    /// Scheme, host and port: a secret for one address may be sent to all addresses of the same place.
    package let place: String
    package let scheme: String
    /// The value of the header `Host`.
    package let host: String
    /// The host without port; an IPv6 address without brackets.
    package let hostname: String
    package let port: Int
    /// Scheme and host, without path and query.
    package var origin: String { "\(scheme)://\(host)" }

    package init?(_ text: String) {
        guard let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
            let host = parts.host?.lowercased(), !host.isEmpty, scheme == "https" || scheme == "http"
        else { return nil }
        self.text = text
        self.scheme = scheme
        self.host = host + (parts.port.map { ":\($0)" } ?? "")
        hostname = host.trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        port = parts.port ?? (scheme == "https" ? 443 : 80)
        place = "\(scheme)://\(host):\(port)"
        name = "\(scheme)://\(host)\(parts.port.map { ":\($0)" } ?? "")\(parts.percentEncodedPath)"
    }

    /// Whether the host is this machine: `localhost`, `::1`, or an IPv4 address in 127.0.0.0/8. A name that only begins
    /// with `127.` may belong to another machine.
    package var isLoopback: Bool {
        if hostname == "localhost" { return true }
        var (v4, v6) = (in_addr(), in6_addr())
        if inet_pton(AF_INET, hostname, &v4) == 1 { return UInt32(bigEndian: v4.s_addr) >> 24 == 127 }
        guard inet_pton(AF_INET6, hostname, &v6) == 1 else { return false }
        return withUnsafeBytes(of: &v6) { $0.elementsEqual([UInt8](repeating: 0, count: 15) + [1]) }
    }

    /// The target of a redirect from this address.
    package func following(_ location: String) -> Address? {
        URL(string: location, relativeTo: URL(string: text)).flatMap { Address($0.absoluteString) }
    }
}
