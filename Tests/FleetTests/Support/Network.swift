import Foundation
import Glibc
import TestSupport

/// A network namespace with one link to this machine, which can be cut. It is removed with the value.
final class Namespace: Sendable {
    let name: String
    /// This machine's address on the link, and the namespace's.
    let host: String
    let address: String
    private let link: String

    /// The prefix of a command that runs in the namespace.
    var prefix: [String] { ["/usr/sbin/ip", "netns", "exec", name] }

    init() throws {
        let number = Int.random(in: 1..<250)
        let id = String(UUID().uuidString.lowercased().prefix(6))
        name = "ws-\(id)"
        link = "ws\(id)"
        host = "10.213.\(number).1"
        address = "10.213.\(number).2"
        try Self.ip("netns", "add", name)
        try Self.ip("link", "add", link, "type", "veth", "peer", "name", "up0", "netns", name)
        try Self.ip("addr", "add", "\(host)/30", "dev", link)
        try Self.ip("link", "set", link, "up")
        try Self.ip("-n", name, "addr", "add", "\(address)/30", "dev", "up0")
        for device in ["lo", "up0"] { try Self.ip("-n", name, "link", "set", device, "up") }
    }

    func cut() throws { try Self.ip("link", "set", link, "down") }
    func restore() throws { try Self.ip("link", "set", link, "up") }

    deinit {
        // The link is removed with the namespace.
        try? Self.ip("netns", "del", name)
    }

    private static func ip(_ arguments: String...) throws {
        // The end of the command is detected by this line.
        _ = try ChildProcess.daemon(["/bin/sh", "-c", "/usr/sbin/ip \"$@\" && echo done", "sh"] + arguments).line()
    }
}
