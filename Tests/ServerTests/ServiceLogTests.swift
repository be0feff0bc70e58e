import Foundation
import Glibc
import Support
import TestSupport
import Testing

/// The log of a service, on standard error.
@Suite(.blocking)
struct ServiceLogTests {
    /// Runs a server for three requests, one of them with a wrong token, and returns its log.
    private func log(
        _ arguments: [String], environment: (_ log: String) throws -> [String: String] = { _ in [:] }
    ) async throws -> [String] {
        let directory = try TemporaryDirectory()
        let text = try await onThread {
            try TestServer.base.write(to: directory("model"))
            let tool = Tool(store: directory("store"))
            #expect(try tool("import", directory("model"), "--name", "org/base").status == 0)
            let made = try tool("token", "new", "lab", "--models", "org/*", "--token-file", directory("tokens"))
            return made.output.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        let log = try directory.write("", to: "log")
        let variables = try environment(log)
        let process = try ChildProcess(
            [Tool.path, "serve", "--port", "0", "--store", directory("store"), "--token-file", directory("tokens")]
                + arguments,
            environment: variables.mapValues(\.self), output: .lines, errors: .file(log))
        let port = try await onThread {
            let line = try process.line()
            return try #require(line.split(separator: ":").last.flatMap { Int($0) }, "no port in \(line)")
        }
        for token in [text, text, "hf_wrong"] {
            _ = try await onThread {
                let connection = try Connection(port: port)
                let fields = ["Authorization": "Bearer \(token)", "X-Request-Id": "r-1"]
                try connection.send(TestServer.request("GET", "/org/base/resolve/main/model.safetensors", fields))
                return try connection.answer().status
            }
        }
        process.signal(SIGTERM)
        #expect(try await onThread { process.wait() } == 0)
        let written = String(decoding: try contents(log), as: UTF8.self)
        #expect(!written.contains(text) && !written.contains("hf_wrong"))
        return written.split(separator: "\n").map(String.init)
    }

    @Test("text: a line has time, level, request, status, bytes, first byte, source and the token's name")
    func text() async throws {
        let lines = try await log([])
        let line =
            /^[0-9T:.Z-]+ info 127\.0\.0\.1 GET \/org\/base\/\S+ 200 \d+ bytes [0-9.]+ ms, first byte [0-9.]+ ms, stored, token lab, request r-1$/
        #expect(lines.count { $0.contains(line) } == 2)
        #expect(lines.count { $0.contains(/notice 127\.0\.0\.1 GET .* 401 \d/) } == 1)
    }

    @Test("json: each line is an object with the facts of its event")
    func json() async throws {
        let lines = try await log(["--log-format", "json"])
        let objects = try lines.map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
        }
        let requests = objects.filter { $0["status"] as? Int == 200 }
        #expect(requests.count == 2)
        for request in requests {
            #expect(request["level"] as? String == "info" && request["token"] as? String == "lab")
            #expect(request["request"] as? String == "r-1" && request["source"] as? String == "stored")
            #expect(request["method"] as? String == "GET" && request["peer"] as? String == "127.0.0.1")
            #expect(request["path"] as? String == "/org/base/resolve/main/model.safetensors")
            #expect((request["bytes"] as? Int ?? 0) > 1000 && request["seconds"] is Double)
            #expect(request["first_byte_seconds"] is Double && request["time"] is String)
        }
        #expect(objects.contains { $0["status"] as? Int == 401 && $0["level"] as? String == "notice" })
    }

    @Test("with the journal at standard error, a line begins with its priority, and has no time of its own")
    func journal() async throws {
        let lines = try await log([]) { log in
            var facts = Glibc.stat()
            #expect(stat(log, &facts) == 0)
            return ["JOURNAL_STREAM": "\(facts.st_dev):\(facts.st_ino)"]
        }
        #expect(lines.count { $0.hasPrefix("<6>127.0.0.1 GET ") } == 2)
        #expect(lines.count { $0.hasPrefix("<5>127.0.0.1 GET ") } == 1)
        #expect(lines.allSatisfy { $0.contains(/^<[2-7]>/) })
        // Of another stream.
        let plain = try await log([]) { _ in ["JOURNAL_STREAM": "1:2"] }
        #expect(!plain.contains { $0.hasPrefix("<") })
    }

    @Test("the level is that of the option, of --quiet, or of the environment, in this order")
    func level() async throws {
        #expect(try await log(["--log-level", "warning"]).isEmpty)
        #expect(try await log(["--quiet"]).isEmpty)
        let notices = try await log([]) { _ in ["WEIGHTSTORE_LOG_LEVEL": "notice"] }
        #expect(notices.count == 1 && notices[0].contains(" 401 "))
        let all = try await log(["--quiet", "--log-level", "info"]) { _ in ["WEIGHTSTORE_LOG_LEVEL": "error"] }
        #expect(all.count { $0.contains(" 200 ") } == 2)
        let wrong = try await onThread {
            var tool = Tool(store: "/nonexistent")
            tool.environment["WEIGHTSTORE_LOG_FORMAT"] = "xml"
            return try tool("serve", "--port", "0")
        }
        #expect(wrong.status == 64 && wrong.errors.contains("must be text or json"))
    }
}
