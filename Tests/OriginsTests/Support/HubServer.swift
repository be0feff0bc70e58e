import Foundation
import TestSupport

/// `Tests/hub-server.py` over a directory: the hub's API, a content network that it redirects to, faults on request.
final class HubServer: Sendable {
    struct Request: Decodable {
        let path: String
        let range: String?
        /// Bytes of files that were sent.
        let bytes: Int
        /// `hub` or `cdn`.
        let place: String
        /// The header `Authorization`.
        let token: String?
        /// The header `If-None-Match`.
        let tag: String?
        /// Whether the fault `hold` has seen the client go.
        let gone: Bool
    }

    struct Fault: Encodable {
        var match: String
        var kind: String
        var times = 1
        var after: Int?
        var status: Int?
        var headers: [String: String]?
        var seconds: Double?
        var pace: Double?
        var extra: Int?
        var location: String?

        init(_ kind: String, _ match: String = "safetensors", times: Int = 1) {
            self.kind = kind
            self.match = match
            self.times = times
        }
    }

    let port: Int
    let contentPort: Int
    var url: String { "http://127.0.0.1:\(port)" }
    private let server: ChildProcess

    static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("hub-server.py").path

    init(_ root: String) throws {
        server = try ChildProcess.daemon(["/usr/bin/env", "python3", Self.script, root])
        let line = try server.line()
        let ports = line.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        (port, contentPort) = (ports[0], ports[1])
    }

    /// Sets the faults, and clears the recorded requests.
    ///
    /// - Parameters:
    ///   - tags: further names of the commit of main.
    ///   - renamed: the new names of repositories, by their old names.
    ///   - targets: the directories to which the ref main of models has moved.
    func set(
        _ faults: [Fault] = [], page: Int = 1000, token: String? = nil, tags: [String] = [],
        renamed: [String: String] = [:], targets: [String: String] = [:]
    ) throws {
        struct Control: Encodable {
            let faults: [Fault]
            let page: Int
            let token: String?
            let tags: [String]
            let renamed: [String: String]
            let targets: [String: String]
        }
        let body = try JSONEncoder().encode(
            Control(faults: faults, page: page, token: token, tags: tags, renamed: renamed, targets: targets))
        try HTTP.post("\(url)/control", body)
    }

    func requests() throws -> [Request] {
        try JSONDecoder().decode([Request].self, from: HTTP.get("\(url)/control"))
    }

    /// Bytes of files that were sent since the last `set`.
    func served() throws -> Int { try requests().reduce(0) { $0 + $1.bytes } }
}

/// A minimal client.
enum HTTP {
    static func get(_ url: String) throws -> Data { try curl([url]) }

    static func post(_ url: String, _ body: Data) throws {
        _ = try curl(["--data-binary", String(decoding: body, as: UTF8.self), url])
    }

    private static func curl(_ arguments: [String]) throws -> Data {
        let result = try ChildProcess.run(["curl", "-sf"] + arguments)
        guard result.status == 0 else {
            throw ChildProcess.Failed(command: arguments, reason: "curl: status \(result.status)")
        }
        return Data(result.bytes)
    }
}
