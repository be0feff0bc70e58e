import Foundation
import Glibc
import ModelFormats
import Support
import TestSupport
import Testing

/// `weightstore serve`, as a user runs it.
@Suite(.blocking)
struct ServeCommandTests {
    private let directory = try! TemporaryDirectory()

    /// Starts it on a free port, which it prints.
    private func serve(
        _ store: String, _ arguments: [String] = [], environment: [String: String] = [:]
    ) async throws -> (process: ChildProcess, port: Int, log: String) {
        let log = try directory.write("", to: "log-\(UInt32.random(in: 0 ... .max))")
        let process = try ChildProcess(
            [Tool.path, "serve", "--port", "0", "--store", store] + arguments,
            environment: environment.mapValues(\.self),
            output: .lines, errors: .file(log))
        // The answer with --json has lines before the one with the address.
        let line = try await onThread {
            var line = try process.line()
            while !line.contains("://") { line = try process.line() }
            return line
        }
        let port = try #require(
            line.split(whereSeparator: { !$0.isNumber }).last.flatMap { Int($0) }, "no port in \(line)")
        return (process, port, log)
    }

    private func tool(_ arguments: String...) async throws -> Tool.Result {
        try await onThread { [directory] in try Tool(store: directory("store")).run(arguments) }
    }

    private func ask(_ port: Int, _ path: String, _ fields: [String: String] = [:]) async throws -> HTTPAnswer {
        try await onThread {
            let connection = try Connection(port: port)
            try connection.send(TestServer.request("GET", path, fields))
            return try connection.answer()
        }
    }

    private func status(of process: ChildProcess) async throws -> Int32 {
        try await onThread { process.wait() }
    }

    /// A line of `/proc/…/status`, in kB.
    private func memory(_ process: ChildProcess, _ name: String) throws -> Int {
        let text = String(decoding: try contents("/proc/\(process.identifier)/status"), as: UTF8.self)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(name + ":") })
        return try #require(line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) })
    }

    @Test("with an upstream an empty store serves missing models, and keeps serving them without it")
    func upstream() async throws {
        let model = TestModel(layers: 2)
        try model.write(to: directory("model"))
        #expect(try await tool("import", directory("model"), "--name", "org/base").status == 0)
        let (first, upstream, log) = try await serve(directory("store"))
        let (second, port, _) = try await serve(directory("empty"), ["--upstream", "http://127.0.0.1:\(upstream)"])
        let file = "/org/base/resolve/main/model.safetensors"
        let bytes = try model.file(model.tensors)
        let middle = bytes.count / 2
        let part = try await ask(port, file, ["Range": "bytes=\(middle)-\(middle + 99)"])
        #expect(part.status == 206 && part.body == Array(bytes[middle..<middle + 100]))
        // One or two shards have arrived, and no more.
        #expect(try sent(log) < bytes.count / 2)
        for _ in 0..<2 {
            let answer = try await ask(port, file)
            #expect(answer.status == 200 && answer.body == bytes)
        }
        #expect(try await ask(port, "/org/nobody/resolve/main/model.safetensors").status == 404)
        first.signal(SIGTERM)
        #expect(try await status(of: first) == 0)
        // Each byte was fetched once, the header too.
        #expect(try sent(log) == bytes.count)
        #expect(try await ask(port, file).body == bytes)
        second.signal(SIGTERM)
        #expect(try await status(of: second) == 0)
    }

    @Test(
        "SIGTERM ends the server at once while a client waits for an upstream that never answers, and the client gets an error",
        arguments: ["/org/far/resolve/main/model.safetensors", "/org/other/resolve/main/config.json"])
    func silentUpstream(path: String) async throws {
        let origin = try SilentServer()
        try TestModel(layers: 1).write(to: directory("far"))
        #expect(
            try await tool("import", directory("far"), "--name", "org/far", "--origin", origin.url, "--trust").status
                == 0)
        #expect(try await tool("evict", "--free", "1T").status == 13)
        let (process, port, _) = try await serve(directory("store"), ["--upstream", origin.url])
        let answer = try await onThread {
            let connection = try Connection(port: port)
            try connection.send(TestServer.request("GET", path, [:]))
            origin.accept()
            process.signal(SIGTERM)
            return try connection.answer()
        }
        #expect(answer.status == 503)
        #expect(try await status(of: process) == 0)
        // A shard in several ranges of the file is fetched by up to four connections. There was no retry after a
        // time-out.
        #expect(origin.others() < 4)
        #expect(try await tool("stats").output.contains("processes  none but this"))
    }

    /// Bytes of model.safetensors that a server has sent, by its log.
    private func sent(_ log: String) throws -> Int {
        var sum = 0
        for line in String(decoding: try contents(log), as: UTF8.self).split(separator: "\n") {
            // time, level, client, GET, path, status, count, "bytes", …
            let words = line.split(separator: " ")
            guard words.count > 7, words[3] == "GET", words[4].hasSuffix("/model.safetensors") else { continue }
            sum += Int(words[6]) ?? 0
        }
        return sum
    }

    @Test(
        "after SIGTERM a running download completes, no new one is accepted, and the exit status is 0",
        arguments: [SIGTERM, SIGINT])
    func stop(signal: Int32) async throws {
        try TestServer.base.write(to: directory("model"))
        #expect(try await tool("import", directory("model"), "--name", "org/base").status == 0)
        let (process, port, log) = try await serve(directory("store"), ["--json"])
        let connection = try await onThread { try Connection(port: port, receiveBuffer: 1 << 16) }
        try await onThread {
            try connection.send(TestServer.request("GET", "/org/base/resolve/main/model.safetensors"))
            _ = try connection.receive(most: 1)
        }
        process.signal(signal)
        #expect(try await eventually { (try? Connection(port: port)) == nil })
        let size = try TestServer.base.file(TestServer.base.tensors).count
        let received = try await onThread {
            var count = 0
            while true {
                let more = try connection.receive().count
                if more == 0 { return count }
                count += more
            }
        }
        #expect(received > size)
        #expect(try await status(of: process) == 0)
        #expect(
            String(decoding: try contents(log), as: UTF8.self).contains(
                "GET /org/base/resolve/main/model.safetensors 200 \(size) bytes"))
        #expect(try await tool("stats", "--json").object()["accesses"] as? Int ?? 0 > 0)
    }

    @Test("a port in use, a missing store and a bad token are reported")
    func refusals() async throws {
        #expect(try await tool("serve").status == 7)
        try TestServer.base.write(to: directory("model"))
        #expect(try await tool("import", directory("model")).status == 0)
        let (process, port, _) = try await serve(directory("store"))
        let taken = try await tool("serve", "--port", "\(port)")
        #expect(taken.status == 1 && taken.errors.contains("127.0.0.1:\(port)") && taken.errors.contains("--port 0"))
        process.signal(SIGTERM)
        #expect(try await status(of: process) == 0)
        try directory.write("two words", to: "token")
        let bad = try await tool("serve", "--token-file", directory("token"))
        #expect(bad.status == 6 && !bad.errors.contains("two words"))
        #expect(try await tool("serve", "--port", "65536").status == 64)
    }

    @Test("the token is read from a file or from the environment", arguments: [true, false])
    func token(fromFile: Bool) async throws {
        try TestServer.base.write(to: directory("model"))
        #expect(try await tool("import", directory("model"), "--name", "m").status == 0)
        try directory.write("s3cret\n", to: "token")
        let (process, port, log) = try await serve(
            directory("store"), fromFile ? ["--token-file", directory("token")] : [],
            environment: fromFile ? [:] : ["WEIGHTSTORE_TOKEN": "s3cret"])
        #expect(try await ask(port, "/m/resolve/main/config.json").status == 401)
        #expect(try await ask(port, "/m/resolve/main/config.json", ["Authorization": "Bearer s3cret"]).status == 200)
        process.signal(SIGTERM)
        #expect(try await status(of: process) == 0)
        #expect(!String(decoding: try contents(log), as: UTF8.self).contains("s3cret"))
    }

    @Test("SIGHUP reads the token again, and an unusable one leaves the previous one in use")
    func hangUp() async throws {
        try TestServer.base.write(to: directory("model"))
        #expect(try await tool("import", directory("model"), "--name", "m").status == 0)
        try directory.write("first\n", to: "token")
        let (process, port, log) = try await serve(directory("store"), ["--token-file", directory("token")])
        func status(_ token: String) async throws -> Int {
            try await ask(port, "/m/resolve/main/config.json", ["Authorization": "Bearer \(token)"]).status
        }
        func hasLogged(_ text: String) async throws -> Bool {
            try await eventually { String(decoding: try contents(log), as: UTF8.self).contains(text) }
        }
        #expect(try await status("first") == 200)
        try directory.write("second\n", to: "token")
        process.signal(SIGHUP)
        #expect(try await hasLogged("were read again"))
        #expect(try await status("first") == 401)
        #expect(try await status("second") == 200)
        try directory.write("two words\n", to: "token")
        process.signal(SIGHUP)
        #expect(try await hasLogged("The previous one stays in use."))
        #expect(try await status("second") == 200)
        process.signal(SIGTERM)
        #expect(try await self.status(of: process) == 0)
    }

    @Test("a server accepts a new token, and refuses a removed one, without a signal")
    func changedTokens() async throws {
        try TestServer.base.write(to: directory("model"))
        #expect(try await tool("import", directory("model"), "--name", "m").status == 0)
        let file = directory("tokens")
        func make(_ name: String, _ arguments: String...) async throws -> String {
            let result = try await onThread { [directory] in
                try Tool(store: directory("store")).run(["token", "new", name, "--token-file", file] + arguments)
            }
            #expect(result.status == 0, "\(result.errors)")
            return result.output.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        let first = try await make("first")
        let (process, port, log) = try await serve(directory("store"), ["--token-file", file])
        func status(_ token: String, _ path: String = "/m/resolve/main/config.json") async throws -> Int {
            try await ask(port, path, ["Authorization": "Bearer \(token)"]).status
        }
        #expect(try await status(first) == 200)
        let second = try await make("second", "--scope", "metrics")
        #expect(try await eventually { try await status(second, "/metrics") == 200 })
        #expect(try await status(second) == 403)
        #expect(try await tool("token", "rm", "first", "--token-file", file).status == 0)
        #expect(try await eventually { try await status(first) == 401 })
        #expect(try await tool("token", "rm", "second", "--token-file", file).status == 0)
        #expect(try await eventually { try await status(second, "/metrics") == 401 })
        #expect(try await ask(port, "/m/resolve/main/config.json").status == 401)
        process.signal(SIGTERM)
        #expect(try await self.status(of: process) == 0)
        let text = String(decoding: try contents(log), as: UTF8.self)
        #expect(!text.contains(first) && !text.contains(second))
        // Such a file allows no client, so a server that starts with it is of no use.
        let empty = try await tool("serve", "--token-file", file)
        #expect(empty.status == 6 && empty.errors.contains("the file has no token"))
    }

    @Test("memory does not grow while a file of 1 GiB is sent to three clients")
    func memory() async throws {
        // Of zeros, so that only one of its 64 tensors is kept.
        let writer = try SafetensorsWriter((0..<64).map { .init(name: "t\($0)", dtype: "U8", shape: [1 << 24]) })
        let bytes = writer.header.count + (64 << 24)
        let file = try directory.write(writer.header, to: "large.safetensors")
        truncate(file, bytes)
        #expect(try await tool("import", file, "--name", "large").status == 0)
        let (process, port, _) = try await serve(directory("store"), ["--quiet"])
        #expect(try await ask(port, "/health").status == 200)
        let before = try memory(process, "VmHWM")
        let received = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    try await onThread {
                        let connection = try Connection(port: port)
                        try connection.send(TestServer.request("GET", "/large/resolve/main/large.safetensors"))
                        var count = 0
                        while count < bytes { count += try connection.receive(most: 1 << 20).count }
                        return count
                    }
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(received >= 3 * bytes)
        let after = try memory(process, "VmHWM")
        #expect(after - before < 40_000, "\(before) kB before, \(after) kB after")
        process.signal(SIGTERM)
        #expect(try await status(of: process) == 0)
    }
}
