import Foundation
import Server
import TestSupport
import Testing
@testable import WeightStore

/// The metrics as Prometheus reads them, and the dashboard and the alerts that use them.
@Suite(.blocking)
struct MonitoringTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private static let alerts = root.appendingPathComponent("Sources/Command/Monitoring/alerts.yml").path
    private static let alertTests = root.appendingPathComponent("Tests/alerts.test.yml").path
    private static let article = root.appendingPathComponent(
        "Sources/WeightStore/WeightStore.docc/Operating.md"
    ).path

    static let hasPrometheus = ["prometheus", "promtool"].allSatisfy {
        FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)")
    }

    private func text(_ path: String) throws -> String { String(decoding: try contents(path), as: UTF8.self) }

    /// The names of metrics in an expression or a text, without those of record fields and label values.
    private func names(in text: String) -> Set<String> {
        Set(text.matches(of: /\b(?:weightstore|process)_[a-z_]+/).map { String($0.output) })
    }

    private static let declared = Set(MetricFamily.all.flatMap(\.series))

    @Test("each family is declared once, with a name and a help as Prometheus wants them")
    func families() {
        let families = MetricFamily.all
        #expect(Set(families.map(\.name)).count == families.count)
        for family in families {
            #expect(family.name.hasSuffix("_total") == (family.kind == .counter), "\(family.name)")
            #expect(family.help.hasSuffix(".") && !family.help.contains("\n"), "\(family.name)")
            #expect(family.kind != .histogram || family.name.hasSuffix("_seconds"))
        }
        for name in [
            "hits_total", "misses_total", "evictions_total", "quota_bytes", "store_evictable_bytes", "build_info",
        ] {
            #expect(Self.declared.contains("weightstore_\(name)"))
        }
    }

    @Test("the values of labels are escaped by code points")
    func labels() throws {
        let family = try #require(MetricFamily.all.first { $0.labels.count == 1 && $0.kind != .histogram })
        var exposition = Exposition()
        exposition.add(family, 1, "a\r\nb\"\u{301}\\\u{301}\u{1B}")
        #expect(
            exposition.text.utf8.elementsEqual(
                """
                # HELP \(family.name) \(family.help)
                # TYPE \(family.name) \(family.kind)
                \(family.name){\(family.labels[0])="a_\\nb\\"\u{301}\\\\\u{301}_"} 1

                """.utf8))
    }

    @Test("the table of metrics in Operating.md has every family with its labels, and no other")
    func table() throws {
        let rows = try text(Self.article).matches(of: /\n\| `((?:weightstore|process)_[a-z_]+)(?:\{([a-z,]+)\})?` \|/)
        let listed = rows.map { "\($0.output.1){\($0.output.2 ?? "")}" }
        #expect(listed.sorted() == MetricFamily.all.map { "\($0.name){\($0.labels.joined(separator: ","))}" }.sorted())
    }

    @Test("the dashboard and the alerts use declared metrics alone, and the tool prints both")
    func declaredNames() throws {
        let tool = Tool(store: "/nonexistent")
        let alerts = try tool("monitoring", "alerts").output
        #expect(alerts == (try text(Self.alerts)))
        let rules = alerts.split(separator: "\n").filter { $0.contains("expr:") }.joined(separator: "\n")
        #expect(names(in: rules).count > 6)
        #expect(names(in: rules).subtracting(Self.declared).isEmpty)

        let board = try tool("monitoring", "dashboard").object()
        let panels = try #require(board["panels"] as? [[String: Any]])
        let expressions = panels.flatMap { $0["targets"] as? [[String: Any]] ?? [] }.compactMap {
            $0["expr"] as? String
        }
        #expect(expressions.count > 30)
        for expression in expressions {
            let used = names(in: expression)
            #expect(!used.isEmpty && used.subtracting(Self.declared).isEmpty, "\(expression)")
        }
        #expect(Set(panels.compactMap { $0["id"] as? Int }).count == panels.count)
    }

    @Test(
        "promtool accepts the alerts, and each fires in its case",
        .enabled(if: hasPrometheus, "prometheus is not installed"))
    func alertRules() throws {
        for arguments in [["check", "rules", Self.alerts], ["test", "rules", Self.alertTests]] {
            let result = try ChildProcess.run(["promtool"] + arguments)
            #expect(result.status == 0, "\(result.output)\(result.errors)")
        }
        // Each alert has a case.
        let cases = try text(Self.alertTests)
        for alert in try text(Self.alerts).matches(of: /- alert: (\w+)/) {
            #expect(cases.contains("alertname: \(alert.output.1)\n"), "\(alert.output.1)")
        }
    }

    /// Metrics of a store in which every part of it was used.
    private func usedServer() async throws -> TestServer {
        let server = try await TestServer()
        try await onThread {
            try server.store.setQuota(Quota(bytes: 1 << 40))
            try server.store.open(.ram, TierOptions(budget: 1 << 30))
            try server.store.revision("org/base").leaseBlocking(layer: 0, in: .ram).release()
            try server.store.record(JobRecord(name: "gc", started: 1000, seconds: 5, status: 0, message: ""))
            try server.store.record(JobRecord(name: "gc", started: 2000, seconds: 1, status: 1, message: "x"))
            server.store.flush()
        }
        _ = try await server.get("/org/base/resolve/main/model.safetensors")
        return server
    }

    @Test(
        "the metrics have the quota, the parts of the stored bytes, and the last success of a job that has failed since"
    )
    func values() async throws {
        let server = try await usedServer()
        let text = try await server.get("/metrics").text
        let stored = try await onThread { try server.store.diskGauge() }
        for line in [
            "weightstore_quota_bytes{kind=\"weights\"} \(1 << 40)",
            "weightstore_quota_used_bytes{kind=\"weights\"} \(stored.bytes)",
            "weightstore_store_only_copy_bytes \(stored.bytes)", "weightstore_store_evictable_bytes 0",
            "weightstore_job_last_success_timestamp_seconds{task=\"gc\"} 1005",
            "weightstore_job_last_success_timestamp_seconds{task=\"verify\"} 0",
            "weightstore_job_last_exit_status{task=\"gc\"} 1", "weightstore_processes 1",
        ] {
            #expect(text.contains(line + "\n"), "\(line)")
        }
        #expect(text.contains("weightstore_http_first_byte_seconds_count{source=\"stored\"} 1\n"))
        #expect(text.contains("process_resident_memory_bytes "))
        let present = Set(text.matches(of: /\# TYPE ([a-z_]+)/).map { String($0.output.1) })
        #expect(present.isSubset(of: Set(MetricFamily.all.map(\.name))))
    }

    @Test(
        "promtool accepts the metrics of a server, and those of stats --prometheus",
        .enabled(if: hasPrometheus, "prometheus is not installed"))
    func check() async throws {
        let server = try await usedServer()
        let texts = [
            try await server.get("/metrics").text,
            try await onThread { try Tool(store: server.directory("store"))("stats", "--prometheus").output },
        ]
        for text in texts {
            let file = try server.directory.write(text, to: "metrics-\(text.utf8.count)")
            let result = try await onThread {
                try ChildProcess.run(["/bin/sh", "-c", "exec promtool check metrics < \"$1\"", "sh", file])
            }
            #expect(result.status == 0 && result.errors.isEmpty, "\(result.output)\(result.errors)")
        }
    }

    @Test("stats --prometheus has the metrics of the store, also without a server")
    func textfile() throws {
        let fixture = try TemporaryDirectory()
        try TestServer.base.write(to: fixture("model"))
        let tool = Tool(store: fixture("store"))
        #expect(try tool("import", fixture("model"), "--name", "m").status == 0)
        #expect(try tool("gc").status == 0)
        let text = try tool("stats", "--prometheus").output
        #expect(text.contains("weightstore_store_models 1\n"))
        #expect(text.contains("weightstore_build_info{version="))
        #expect(text.contains(/weightstore_job_last_success_timestamp_seconds\{task="gc"\} [1-9]/))
        #expect(!text.contains("weightstore_http_"))
        #expect(try tool("stats", "--prometheus", "--json").status == 64)
    }

    @Test(
        "a Prometheus scrapes a server's own listener, and evaluates the alerts without an error",
        .enabled(if: hasPrometheus, "prometheus is not installed"))
    func scrape() async throws {
        var options = ServerOptions()
        options.adminPort = 0
        let server = try await TestServer(options)
        let target = try #require(server.adminPort)
        let port = try FreePort()
        let configuration = """
            global: { scrape_interval: 1s, evaluation_interval: 1s }
            rule_files: ["\(Self.alerts)"]
            scrape_configs:
              - job_name: weightstore
                static_configs: [{ targets: ["127.0.0.1:\(target)"] }]

            """
        let directory = server.directory
        let file = try directory.write(configuration, to: "prometheus.yml")
        let log = try directory.write("", to: "prometheus.log")
        let prometheus = try ChildProcess(
            [
                "prometheus", "--config.file=\(file)", "--storage.tsdb.path=\(directory("series"))",
                "--web.listen-address=127.0.0.1:\(port.number)",
            ], errors: .file(log))
        defer { prometheus.end() }
        func ask(_ path: String) async throws -> [String: Any] {
            let url = "http://127.0.0.1:\(port.number)\(path)"
            let answer = try await onThread { try ChildProcess.run(["curl", "--silent", "--globoff", url]).bytes }
            // It may not listen yet, and it answers with text until it is ready.
            let object = try? JSONSerialization.jsonObject(with: Data(answer)) as? [String: Any]
            return object?["data"] as? [String: Any] ?? [:]
        }
        let isScraped = try await eventually {
            let result = try await ask("/api/v1/query?query=weightstore_store_models")["result"] as? [[String: Any]]
            return (result?.first?["value"] as? [Any])?.last as? String == "3"
        }
        let messages = try text(log)
        #expect(isScraped, "\(messages)")
        #expect(
            try await eventually {
                let groups = try await ask("/api/v1/rules")["groups"] as? [[String: Any]] ?? []
                let rules = groups.flatMap { $0["rules"] as? [[String: Any]] ?? [] }
                return !rules.isEmpty && rules.allSatisfy { $0["health"] as? String == "ok" }
            })
    }
}
