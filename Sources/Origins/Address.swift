import Foundation

/// A parsed http or https URL.
package struct Address: Sendable, Hashable {
    package let text: String
    /// The name in errors: without query, fragment and user, which may contain secrets.
    package let name: String
    /// Scheme, host and port: a secret for one address may be sent to all addresses of the same place.
    let place: String
    package let scheme: String
    /// The value of the header `Host`.
    package let host: String
    /// The host without port; an IPv6 address without brackets.
    let hostname: String
    let port: Int
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

    /// Whether the host is this machine.
    package var isLoopback: Bool { hostname == "localhost" || hostname == "::1" || hostname.hasPrefix("127.") }

    /// The target of a redirect from this address.
    func following(_ location: String) -> Address? {
        URL(string: location, relativeTo: URL(string: text)).flatMap { Address($0.absoluteString) }
    }
}
