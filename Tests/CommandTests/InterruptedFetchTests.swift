import Foundation
import Glibc
import TestSupport
import Testing

/// Ctrl-C and SIGTERM during a fetch on use, from an origin that never answers.
@Suite(.blocking) struct InterruptedFetchTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() { tool = Tool(store: directory("store")) }

    /// The parts that can be fetched at once, each by its own connection. A retry after a time-out would be one
    /// connection more.
    private static let lanes = 8

    private func checkNothingIsHeld() throws {
        #expect(try tool("stats").output.contains("processes  none but this"))
        #expect(try tool("gc", "--grace", "0").status == 0)
        #expect(TemporaryDirectory.files(below: directory("store/staging")).isEmpty)
        #expect(TemporaryDirectory.files(below: directory("store/partial")).isEmpty)
    }

    /// Interrupts a command that has requested bytes that never arrive.
    private func interrupt(_ run: Tool.Running, _ number: Int32, waitingFor origin: SilentServer) throws {
        origin.accept()
        run.signal(number)
        let result = run.result()
        #expect(result.status == 130 && result.errors.contains("Interrupted"), "\(result.errors)")
        #expect(origin.others() < Self.lanes)
        try checkNothingIsHeld()
    }

    @Test(
        "load ends at once on a signal while evicted shards are fetched", arguments: [SIGINT, SIGTERM], ["ram", "host"])
    func evicted(number: Int32, tier: String) throws {
        let origin = try SilentServer()
        try TestModel(layers: 2, seed: 6).write(to: directory("far"))
        #expect(
            try tool("import", directory("far"), "--name", "org/far", "--origin", origin.url, "--trust").status == 0)
        #expect(try tool("evict", "--free", "1T").status == 13)
        let run = try tool.start(["load", "org/far", "--to", tier])
        try interrupt(run, number, waitingFor: origin)
    }

    @Test(
        "load, export and pull end at once on a signal while never-fetched bytes are fetched",
        arguments: ["load", "export", "pull"])
    func pending(command: String) throws {
        let hub = Tool(store: directory("hub"))
        try TestModel(layers: 2, seed: 6).write(to: directory("far"))
        #expect(try hub("import", directory("far"), "--name", "org/far").status == 0)
        let port = try FreePort()
        let server = try hub.start(["serve", "--port", "\(port.number)"])
        let pull = ["pull", "org/far", "--include", "config.json", "--origin", "http://127.0.0.1:\(port.number)"]
        while try tool.run(pull).status != 0 {
            try #require(server.isRunning)
            usleep(20_000)
        }
        server.signal(SIGTERM)
        #expect(server.result().status == 0)
        let origin = try SilentServer(port: port.number)
        let run = try tool.start([command, "org/far"] + (command == "export" ? [directory("out")] : []))
        try interrupt(run, SIGTERM, waitingFor: origin)
    }

    @Test("a node ends at once on a signal while it waits for the bucket")
    func node() throws {
        let bucket = try SilentServer()
        var tool = tool
        tool.environment = ["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"]
        let run = try tool.start([
            "node", "org/model", "--port", "0", "--origin", "s3://weights/prod?endpoint=\(bucket.url)",
        ])
        bucket.accept()
        run.signal(SIGTERM)
        #expect(run.result().status == 0)
        #expect(bucket.others() < Self.lanes)
        try checkNothingIsHeld()
    }
}
