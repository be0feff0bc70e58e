import Foundation
import TestSupport

/// `Tests/connect-proxy.py`: a proxy to which every host is this machine.
final class ConnectProxy: Sendable {
    let port: Int
    private let log: String
    private let server: ChildProcess

    private static let script = URL(fileURLWithPath: HubServer.script).deletingLastPathComponent()
        .appendingPathComponent("connect-proxy.py").path

    init(_ directory: TemporaryDirectory, _ options: String...) throws {
        log = try directory.write("", to: "proxy-\(UUID().uuidString.prefix(8))")
        server = try ChildProcess.daemon(["/usr/bin/env", "python3", Self.script, log] + options)
        port = try Int(server.line()) ?? 0
    }

    /// The targets of all connections so far, as host:port, or `refused`.
    func targets() throws -> [String] {
        try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    /// The environment of a program without the proxies of the tests' environment.
    static let none = Dictionary(
        uniqueKeysWithValues: ["http", "https", "all", "no"].flatMap { ["\($0)_proxy", "\($0.uppercased())_PROXY"] }
            .map { ($0, "") })
}
