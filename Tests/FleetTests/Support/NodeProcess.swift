import Foundation
import Glibc
import TestSupport
import WeightStore
@testable import Fleet

/// `weightstore node`, as an operator runs it, with a store of its own.
final class NodeProcess: Sendable {
    let name: String
    let store: String
    let log: String
    let url: String
    private let daemon: ChildProcess

    /// - Parameters:
    ///   - port: of the gateway, or of a proxy in front.
    ///   - prefix: the words before the tool, such as `ip netns exec …`.
    init(
        _ fixture: FleetFixture, _ name: String, _ arguments: [String] = ["org/model"], port: Int? = nil,
        prefix: [String] = [],
        environment: [String: String] = [:]
    ) throws {
        self.name = name
        store = fixture.directory(name)
        log = fixture.directory("\(name).log")
        var settings = fixture.tool(name, port: port).environment
        settings["WEIGHTSTORE_HOME"] = store
        settings["WEIGHTSTORE_TOKEN"] = "the-fleets-token"
        settings.merge(environment) { $1 }
        daemon = try ChildProcess.daemon(
            ["/usr/bin/env"] + settings.map { "\($0.key)=\($0.value)" }
                + ["/bin/sh", "-c", "log=$1; shift; exec \"$@\" 2>>$log", "sh", log] + prefix
                + [Tool.path, "node", "--port", "0", "--name", name, "--poll", "1s"] + arguments)
        url = try daemon.line()
    }

    func signal(_ number: Int32) { daemon.signal(number) }
    func end(_ number: Int32 = SIGTERM) { daemon.end(number) }

    var logText: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

    /// The digest of a load on the node.
    func main(_ model: String = "org/model") throws -> ContentDigest? {
        try Store(at: store).refs(of: model)["main"]
    }
}

extension FleetFixture {
    /// Waits until `main` is this revision on all of the nodes, and every shard there has its bytes.
    func wait(for digest: ContentDigest, on nodes: [NodeProcess]) throws {
        for node in nodes {
            try FleetTests.wait(for: "\(digest.short) on \(node.name): \(node.logText.suffix(2000))") {
                FileManager.default.fileExists(atPath: node.store + "/store.db") ? try node.main() == digest : false
            }
            let store = try Store(at: node.store)
            guard try store.verifyBlocking().damage.isEmpty,
                try store.missing(of: try store.shards(of: digest)!).isEmpty
            else {
                throw Waited(what: "\(node.name): shards are wrong, or missing")
            }
        }
    }

    /// Waits until each of the nodes knows all the others.
    func waitForPeers(_ nodes: [NodeProcess]) throws {
        for node in nodes {
            try FleetTests.wait(for: "the peers of \(node.name): \(node.logText.suffix(2000))") {
                let known = Set(try FleetTable.allPeers(try Store(at: node.store)).map(\.name))
                return known == Set(nodes.map(\.name))
            }
        }
    }
}
