import Foundation

/// A URL that requests go to.
package struct Address: Sendable, Hashable {
    package let text: String
    /// What errors call it: without query, fragment and user, where secrets stand.
    package let name: String
    /// Scheme, host and port: whom a secret may be told that was meant for one of its addresses.
    let place: String
    package let scheme: String
    /// As the header `Host` has it.
    package let host: String
    /// Without port, and an address of IPv6 without brackets.
    let hostname: String
    let port: Int
    /// Without path and query.
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

    /// Whether it leads to this very machine.
    package var isLoopback: Bool { hostname == "localhost" || hostname == "::1" || hostname.hasPrefix("127.") }

    /// Where a redirect from here leads.
    func following(_ location: String) -> Address? {
        URL(string: location, relativeTo: URL(string: text)).flatMap { Address($0.absoluteString) }
    }
}
