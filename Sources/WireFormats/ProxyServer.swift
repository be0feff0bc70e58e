import Support

/// A proxy, as the variables `http_proxy`, `https_proxy` and `all_proxy` name it.
package struct ProxyServer: Hashable, Sendable {
    package enum Kind: Sendable {
        /// Connections are opened with the method CONNECT.
        case http
        /// SOCKS 5; the proxy resolves host names.
        case socks
    }

    package struct Login: Hashable, Sendable {
        package let user: String
        package let password: String
    }

    /// Why a value names no proxy that can be used. It contains no part of the login.
    package struct Unusable: Error, Equatable {
        package let reason: String
    }

    package let kind: Kind
    /// An IPv6 address has no brackets.
    package let host: String
    package let port: Int
    package let login: Login?

    /// The URL without the login, for messages.
    package var name: String {
        let scheme = kind == .http ? "http" : "socks5h"
        return "\(scheme)://\(host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host):\(port)"
    }

    /// Parses `[scheme://][user:password@]host[:port]`. Without a scheme it is an HTTP proxy. The default port is 80 for
    /// HTTP and 1080 for SOCKS. User and password are percent-encoded.
    package init(_ value: String) throws(Unusable) {
        var rest = Array(value.utf8)[...]
        var scheme = "http"
        if let colon = rest.firstIndex(of: UInt8(ascii: ":")), rest[colon...].starts(with: "://".utf8) {
            scheme = String(decoding: rest[..<colon].map(ASCII.lowercased), as: UTF8.self)
            rest = rest[(colon + 3)...]
        }
        switch scheme {
        case "http": kind = .http
        case "socks", "socks5", "socks5h": kind = .socks
        case "https":
            throw Unusable(reason: "a connection to the proxy itself by https is not supported; use http://host:port")
        default: throw Unusable(reason: "unsupported scheme of a proxy; supported: http, socks5, socks5h")
        }
        rest = rest.prefix { !"/?#".utf8.contains($0) }
        if let at = rest.lastIndex(of: UInt8(ascii: "@")) {
            login = try Self.login(rest[..<at])
            rest = rest[(at + 1)...]
        } else {
            login = nil
        }
        if kind == .socks, login != nil {
            throw Unusable(reason: "a SOCKS proxy with a login is not supported")
        }
        let name: ArraySlice<UInt8>
        if rest.first == UInt8(ascii: "["), let end = rest.firstIndex(of: UInt8(ascii: "]")) {
            name = rest[..<end].dropFirst()
            rest = rest[(end + 1)...]
        } else {
            name = rest.prefix { $0 != UInt8(ascii: ":") }
            rest = rest.dropFirst(name.count)
        }
        host = String(decoding: name, as: UTF8.self)
        guard !name.isEmpty, name.allSatisfy({ 0x21...0x7E ~= $0 }) else {
            throw Unusable(reason: "no host; expected http://host:port")
        }
        let digits = rest.dropFirst()
        if digits.isEmpty, rest.first ?? UInt8(ascii: ":") == UInt8(ascii: ":") {
            port = kind == .http ? 80 : 1080
        } else if rest.first == UInt8(ascii: ":"), let number = Int(decimal: digits), 1...65_535 ~= number {
            port = number
        } else {
            throw Unusable(reason: "no port; expected http://host:port with a port from 1 to 65535")
        }
    }

    private static func login(_ text: ArraySlice<UInt8>) throws(Unusable) -> Login {
        let parts = String(decoding: text, as: UTF8.self).byteParts(":", maxSplits: 1)
        let decoded = parts.compactMap { PercentEncoding.decode($0) }
        guard decoded.count == parts.count, let user = decoded.first else {
            throw Unusable(reason: "the login is not percent-encoded")
        }
        return Login(user: user, password: decoded.count > 1 ? decoded[1] : "")
    }
}

/// ASCII letters. Unicode's rules would make a k of the Kelvin sign.
enum ASCII {
    static func lowercased(_ byte: UInt8) -> UInt8 {
        UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte ? byte | 0x20 : byte
    }
}
