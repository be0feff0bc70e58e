import Glibc
import Support

/// The hosts that are reached without a proxy: the value of `no_proxy`, a list separated by commas or blanks.
///
/// | entry | hosts |
/// |---|---|
/// | `*` | all |
/// | `example.com`, `.example.com`, `*.example.com` | the domain and the names below it |
/// | `10.1.2.3`, `fd00::1`, `[fd00::1]` | the address |
/// | `10.0.0.0/8`, `fd00::/8` | the addresses of the network |
///
/// With `:port`, an entry is for this port only. Names are compared without regard to case, and are not resolved: an
/// address matches a URL that has an address. These are the rules of curl, and of Go for ports.
package struct ProxyExceptions: Sendable {
    private enum Hosts: Sendable {
        case all
        /// A name in lower case, without a dot at its ends.
        case domain([UInt8])
        /// The bytes of an address, of which only the first `bits` count.
        case network([UInt8], bits: Int)
    }

    private struct Rule: Sendable {
        let hosts: Hosts
        /// Nil for all ports.
        let port: Int?
    }

    private let rules: [Rule]

    /// Parses a list. Entries in another form are ignored.
    package init(_ list: String) {
        let separators = ", \t".utf8
        rules = list.utf8.split { separators.contains($0) }.compactMap { Self.rule($0.map(ASCII.lowercased)) }
    }

    /// Whether the list has a host.
    ///
    /// - Parameter host: a name or an address, without brackets.
    package func contains(host: String, port: Int) -> Bool {
        let name = Self.trimmed(host.utf8.map(ASCII.lowercased)[...])
        let address = Self.address(host.utf8)
        return rules.contains { rule in
            guard rule.port ?? port == port else { return false }
            switch rule.hosts {
            case .all: return true
            case .domain(let domain):
                guard address == nil, name.reversed().starts(with: domain.reversed()) else { return false }
                let before = name.dropLast(domain.count)
                return before.isEmpty || before.last == UInt8(ascii: ".")
            case .network(let network, let bits):
                return address.map { Self.matches($0, network, bits) } ?? false
            }
        }
    }

    private static func rule(_ entry: [UInt8]) -> Rule? {
        if entry.elementsEqual("*".utf8) { return Rule(hosts: .all, port: nil) }
        if let slash = entry.firstIndex(of: UInt8(ascii: "/")) {
            guard let network = address(entry[..<slash]), let bits = Int(decimal: entry[(slash + 1)...]),
                bits <= network.count * 8
            else { return nil }
            return Rule(hosts: .network(network, bits: bits), port: nil)
        }
        if let address = address(entry) { return rule(address, nil) }
        var (host, port) = (entry[...], Int?.none)
        if let colon = entry.lastIndex(of: UInt8(ascii: ":")) {
            if let number = Int(decimal: entry[(colon + 1)...]) {
                (host, port) = (entry[..<colon], number)
            } else if entry.last != UInt8(ascii: "]") {
                return nil
            }
        }
        if host.first == UInt8(ascii: "["), host.last == UInt8(ascii: "]") {
            return address(host.dropFirst().dropLast()).map { rule($0, port) }
        }
        if let address = address(host) { return rule(address, port) }
        let domain = trimmed(host.starts(with: "*.".utf8) ? host.dropFirst() : host)
        return domain.isEmpty ? nil : Rule(hosts: .domain(domain), port: port)
    }

    private static func rule(_ address: [UInt8], _ port: Int?) -> Rule {
        Rule(hosts: .network(address, bits: address.count * 8), port: port)
    }

    /// A name without the dot at its begin or its end.
    private static func trimmed(_ name: ArraySlice<UInt8>) -> [UInt8] {
        var name = name
        if name.first == UInt8(ascii: ".") { name.removeFirst() }
        if name.last == UInt8(ascii: ".") { name.removeLast() }
        return Array(name)
    }

    /// The 4 or 16 bytes of an address. The corresponding C function is `inet_pton`.
    private static func address(_ text: some Collection<UInt8>) -> [UInt8]? {
        let text = String(decoding: text, as: UTF8.self)
        var (v4, v6) = (in_addr(), in6_addr())
        if inet_pton(AF_INET, text, &v4) == 1 { return withUnsafeBytes(of: &v4) { Array($0) } }
        if inet_pton(AF_INET6, text, &v6) == 1 { return withUnsafeBytes(of: &v6) { Array($0) } }
        return nil
    }

    private static func matches(_ address: [UInt8], _ network: [UInt8], _ bits: Int) -> Bool {
        guard address.count == network.count else { return false }
        let whole = bits / 8
        guard address[..<whole] == network[..<whole] else { return false }
        guard bits % 8 > 0 else { return true }
        let mask = UInt8.max << UInt8(8 - bits % 8)
        return address[whole] & mask == network[whole] & mask
    }
}
