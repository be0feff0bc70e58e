import Foundation
import Glibc
import TestSupport
import Testing

/// `warm`, as a unit at boot and an operator run it.
@Suite(.blocking) struct WarmCommandTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        let base = TestModel(layers: 3)
        try base.write(to: directory("base"))
        try base.tuned(seed: 5).write(to: directory("tuned"))
        for name in ["base", "tuned"] { #expect(try tool("import", directory(name)).status == 0) }
    }

    private func use() throws {
        for _ in 0..<2 { #expect(try tool("load", "base").status == 0) }
        #expect(try tool("load", "tuned").status == 0)
    }

    private func items(_ plan: [String: Any]) -> [String] {
        (plan["items"] as? [[String: Any]] ?? []).map {
            "\($0["revision"] ?? "") \($0["parts"] ?? "") \($0["bytes"] ?? "")"
        }
    }

    /// Drops the blobs from the page cache.
    private func dropCaches() throws {
        for name in TemporaryDirectory.files(below: directory("store/blobs")) {
            let file = open(directory("store/blobs/\(name)"), O_RDONLY)
            #expect(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0)
            close(file)
        }
    }

    @Test("warm does what its plan says, reads cold bytes once, and a second run reads none")
    func planned() throws {
        try use()
        try dropCaches()
        let plan = try tool("warm", "--plan", "--json").object()
        #expect(items(plan).count == 2 && items(plan)[0].hasPrefix("base@~1 3 "))
        let read = { (plan: [String: Any]) in
            (plan["items"] as? [[String: Any]] ?? []).compactMap { $0["diskBytes"] as? Int }.reduce(0, +)
        }
        #expect(read(plan) == plan["bytes"] as? Int)
        let done = try tool("warm", "--json").object()
        let summary = try #require(done["summary"] as? [String: Any])
        #expect(summary["warmed"] as? Int == plan["bytes"] as? Int)
        #expect(items(try #require(summary["plan"] as? [String: Any])) == items(plan))
        #expect(done["remains"] as? String == "pageCache")
        let again = try tool("warm", "--plan", "--json").object()
        #expect(items(again) == items(plan))
        #expect(read(again) == 0)
        let planned = try tool("warm").output
        #expect(planned.contains("base@~1") && planned.contains("3/3 layers") && planned.contains("page cache keeps"))
    }

    @Test("shards that do not fit, or that --top excludes, are skipped with the reason")
    func skipped() throws {
        try use()
        let tight = try tool("warm", "--plan", "--budget", "5M")
        #expect(tight.output.contains("skipped: base@~1") && tight.output.contains("1 of 3 layers fit"))
        #expect(try tool("warm", "--plan", "--top", "1").output.contains("not listed: 1 used revision"))
        #expect(try tool("warm", "tuned", "--plan", "--json").object()["others"] as? Int == 0)
        #expect(try tool("warm", "nobody").status == 2)
    }

    @Test("before the first access there is nothing to warm, and that is no failure")
    func unused() throws {
        let result = try tool("warm")
        #expect(result.status == 0 && result.output.contains("no model was used yet"))
    }

    @Test("two concurrent warm-ups both succeed, and leave no lease")
    func twice() throws {
        try use()
        try dropCaches()
        let both = try (0..<2).map { _ in try tool.start(["warm", "--json"]) }
        for result in both.map({ $0.result() }) {
            #expect(result.status == 0)
            let gauge = try #require(try result.object()["gauge"] as? [String: Any])
            #expect(gauge["failures"] as? Int == 0 && gauge["leased"] as? Int == 0)
        }
    }

    @Test("Ctrl-C in the middle of a fetch ends warm, and leaves no lease")
    func interrupted() throws {
        let origin = try SilentServer()
        let model = TestModel(layers: 2, seed: 6)
        try model.write(to: directory("far"))
        #expect(
            try tool("import", directory("far"), "--name", "org/far", "--origin", origin.url, "--trust").status == 0)
        #expect(try tool("load", "org/far").status == 0)
        #expect(try tool("evict", "--free", "1T").status == 13)
        let run = try tool.start(["warm"])
        // The command is in the middle of a fetch once it has requested bytes that never arrive.
        origin.accept()
        run.signal(SIGINT)
        let result = run.result()
        #expect(result.status == 130)
        #expect(try tool("stats").output.contains("processes  none but this"))
        #expect(try tool("warm", "--no-fetch").output.contains("fetching is turned off"))
    }

    private func blobs(mappedBy run: Tool.Running) throws -> Int {
        String(decoding: try contents("/proc/\(run.identifier)/maps"), as: UTF8.self)
            .split(separator: "\n").count { $0.contains("/blobs/") }
    }

    @Test("--hold reports when it is ready, keeps the warmed shards, warms again, and ends on SIGTERM")
    func hold() throws {
        try use()
        let socket = try NotifySocket(directory("notify"))
        var tool = tool
        tool.environment["NOTIFY_SOCKET"] = socket.path
        let run = try tool.start(["warm", "--hold", "--every", "1s"])
        let message = socket.receive()
        #expect(message.hasPrefix("READY=1\nSTATUS=") && message.hasSuffix("in ram"))
        // 14 shards hold the tensors: two of 1 MiB of each layer, one of them twice, since the tuned model has its own; a
        // small one of each layer; the embedding; the norm.
        let blobs = try blobs(mappedBy: run)
        #expect(blobs >= 14)
        // Another model becomes hot, and is loaded without a request.
        try TestModel(layers: 2, seed: 8).write(to: directory("new"))
        #expect(try self.tool("import", directory("new")).status == 0)
        #expect(try self.tool("load", "new").status == 0)
        while try self.blobs(mappedBy: run) <= blobs { usleep(20_000) }
        // A model that is only kept warm can be removed.
        #expect(try self.tool("rm", "new").status == 0)
        run.signal(SIGTERM)
        #expect([0, 128 + SIGTERM, 130].contains(run.result().status))
    }

    @Test("invalid combinations of options are refused")
    func usage() throws {
        for arguments in [
            ["--lock"], ["--top", "0"], ["--every", "1m"], ["--plan", "--hold"], ["--lock", "--hold", "--to", "host"],
        ] {
            #expect(try tool.run(["warm"] + arguments).status == 64, "\(arguments)")
        }
    }
}

/// The socket on which systemd listens.
private final class NotifySocket {
    let path: String
    private let descriptor: Int32

    init(_ path: String) throws {
        self.path = path
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        self.descriptor = descriptor
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0)
    }

    deinit { close(descriptor) }

    /// Waits for a message.
    func receive() -> String {
        var buffer = [UInt8](repeating: 0, count: 1000)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self)
    }
}
