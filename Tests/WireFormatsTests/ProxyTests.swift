import Testing
@testable import WireFormats

/// The values of `http_proxy` and `no_proxy`.
struct ProxyTests {
    @Test(
        "the URL of a proxy",
        arguments: [
            ("http://proxy:3128", "http://proxy:3128", nil), ("proxy:3128", "http://proxy:3128", nil),
            ("HTTP://proxy/", "http://proxy:80", nil), ("proxy", "http://proxy:80", nil),
            ("http://[fd00::1]:8/x?y", "http://[fd00::1]:8", nil), ("[::1]", "http://[::1]:80", nil),
            ("socks5://10.0.0.1", "socks5h://10.0.0.1:1080", nil), ("socks5h://s:9", "socks5h://s:9", nil),
            ("http://me:p%40ss%3A@proxy:1", "http://proxy:1", .init(user: "me", password: "p@ss:")),
            ("me:a@b:c@proxy:1", "http://proxy:1", .init(user: "me", password: "a@b:c")),
            ("me@proxy", "http://proxy:80", .init(user: "me", password: "")),
        ] as [(String, String, ProxyServer.Login?)])
    func server(value: String, name: String, login: ProxyServer.Login?) throws {
        let server = try ProxyServer(value)
        #expect(server.name == name && server.login == login)
    }

    @Test(
        "a value that names no proxy that can be used is refused, and the reason has no part of a login",
        arguments: [
            "https://topsecret@proxy:1", "socks4://topsecret@proxy:1", "ftp://topsecret@proxy",
            "socks5://u:topsecret@s",
            "http://", "http://:80", "http://u:topsecret@", "proxy:0", "proxy:65536", "proxy:x", "u:topsecret%zz@proxy",
            "[::1", "[::1]8", "a b:1", "topsecret\u{301}://h", "h\u{E9}:1",
        ])
    func unusable(value: String) {
        let error = #expect(throws: ProxyServer.Unusable.self) { try ProxyServer(value) }
        #expect(error?.reason.contains("topsecret") == false)
    }

    @Test(
        "no_proxy: a domain with the names below it, addresses, networks, ports and *",
        arguments: [
            ("*", "anything", true), ("", "h", false), ("example.com", "example.com", true),
            ("example.com", "hub.example.com", true), (".example.com", "example.com", true),
            (".example.com", "a.b.example.com", true), ("*.example.com", "hub.example.com", true),
            ("example.com", "badexample.com", false), ("example.com", "example.com.test", false),
            ("example.com", "com", false), ("EXAMPLE.com", "Hub.Example.COM", true),
            ("example.com.", "example.com", true), ("example.com", "example.com.", true),
            ("a, b\tc d,,e", "c", true), ("a, b\tc d,,e", "e", true), ("a, b\tc d,,e", "f", false),
            ("10.1.2.3", "10.1.2.3", true), ("10.1.2.3", "10.1.2.33", false), ("2.3", "10.1.2.3", false),
            ("10.0.0.0/8", "10.200.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.0.0.0/8", "10.com", false),
            ("192.168.32.0/19", "192.168.63.255", true), ("192.168.32.0/19", "192.168.64.0", false),
            ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "fd00::1", false), ("fd00::/8", "fd12::1", true),
            ("fd00::1", "fd00:0:0::1", true), ("[fd00::1]", "fd00::1", true), ("fd00::1", "fd00::2", false),
            ("h:8000", "h", true), ("h:8001", "h", false), ("10.1.2.3:8000", "10.1.2.3", true),
            ("[fd00::1]:8000", "fd00::1", true), ("[fd00::1]:1", "fd00::1", false), ("h:x", "h", false),
            ("10.0.0.0/33", "10.0.0.1", false), ("10.0.0/8", "10.0.0.1", false), ("10.0.0.0/", "10.0.0.0", false),
            (".", "h", false), ("*.", "h", false), ("\u{212A}.test", "k.test", false),
        ] as [(String, String, Bool)])
    func exceptions(list: String, host: String, isListed: Bool) {
        #expect(ProxyExceptions(list).contains(host: host, port: 8000) == isListed)
    }
}
