import Foundation
import GRDB
import Glibc
import TestSupport
import Testing

/// `weightstore doctor`: what is broken is named, with the command that mends it.
@Suite(.blocking) struct DoctorTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    private static var isRoot: Bool { geteuid() == 0 }

    init() throws {
        var tool = Tool(store: directory("store"))
        tool.environment["WEIGHTSTORE_TLS_CERTIFICATE"] = ""
        self.tool = tool
        try TestModel(layers: 2).write(to: directory("model"))
        let made = try tool(
            "import", directory("model"), "--name", "org/base", "--origin", "file://" + directory("model"))
        try #require(made.status == 0, "\(made.errors)")
    }

    private struct Finding {
        let check: String
        let level: String
        let message: String
        let fix: String
    }

    /// The findings of a run, and its status.
    private func examine(_ tool: Tool? = nil) throws -> (status: Int32, findings: [Finding]) {
        let result = try (tool ?? self.tool)("doctor", "--json")
        let object = try result.object()
        #expect(object["schema"] as? Int == 1)
        let findings = (object["findings"] as? [[String: Any]] ?? []).map { finding in
            func text(_ key: String) -> String { finding[key] as? String ?? "" }
            return Finding(check: text("check"), level: text("level"), message: text("message"), fix: text("fix"))
        }
        #expect(findings.contains { $0.level == "fault" } == (result.status == 15), "\(result.output)")
        return (result.status, findings)
    }

    /// - Returns: the faults of a check.
    private func faults(_ check: String, _ tool: Tool? = nil) throws -> [Finding] {
        let (status, findings) = try examine(tool)
        #expect(status == 15)
        let faults = findings.filter { $0.check == check && $0.level == "fault" }
        #expect(faults.allSatisfy { !$0.fix.isEmpty })
        return faults
    }

    @Test("a store without faults ends with status 0, and every check has a line")
    func healthy() throws {
        #expect(try tool("gc").status == 0)
        let (status, findings) = try examine()
        #expect(status == 0, "\(findings)")
        #expect(
            Set(findings.map(\.check)).isSuperset(of: [
                "store", "permissions", "disk", "catalog", "damage", "origins", "leases", "moves", "jobs",
                "certificates", "clock", "huge pages", "memlock", "mappings", "CUDA", "FUSE",
            ]), "\(findings)")
        // Notes have a command, too: verify never ran.
        let verify = try #require(findings.first { $0.check == "jobs" && $0.level == "note" })
        #expect(verify.message.contains("verify never ran") && verify.fix.hasPrefix("weightstore service"))
        let text = try tool("doctor").output
        #expect(text.contains("ok     store") && text.contains("→ weightstore service") && text.contains("0 faults"))
    }

    @Test("a missing store is a fault, and nothing is created")
    func missing() throws {
        let found = try faults("store", Tool(store: directory("nowhere")))
        #expect(found.first?.fix.hasPrefix("weightstore init") == true)
        #expect(!FileManager.default.fileExists(atPath: directory("nowhere")))
    }

    @Test("a zeroed shard is found and named, and stays where it is")
    func zeroed() throws {
        let blobs = TemporaryDirectory.files(below: tool.store + "/blobs").map { tool.store + "/blobs/" + $0 }
        let largest = try #require(
            try blobs.max { try contents($0).count < contents($1).count })
        let digest = URL(fileURLWithPath: largest).lastPathComponent
        chmod(largest, 0o644)
        try Data(count: contents(largest).count).write(to: URL(fileURLWithPath: largest))
        let found = try faults("damage")
        #expect(found.count == 1 && found.first?.message.contains(digest.prefix(8)) == true, "\(found)")
        #expect(found.first?.message.contains("org/base") == true)
        #expect(FileManager.default.fileExists(atPath: largest))
        // What the catalog knows is reported, too.
        #expect(try tool("verify").status == 3)
        #expect(try faults("damage").count == 1)
    }

    @Test(
        "the command that doctor names restores a damaged shard, with an origin and without one",
        arguments: [true, false])
    func repaired(hasOrigin: Bool) throws {
        if !hasOrigin { #expect(try tool("origin", "rm", "org/base", "file://" + directory("model")).status == 0) }
        let blobs = TemporaryDirectory.files(below: tool.store + "/blobs").map { tool.store + "/blobs/" + $0 }
        let largest = try #require(try blobs.max { try contents($0).count < contents($1).count })
        chmod(largest, 0o644)
        try Data(count: contents(largest).count).write(to: URL(fileURLWithPath: largest))
        let fix = try #require(try faults("damage").first).fix
        let target = hasOrigin ? directory("out") : directory("model")
        let script = fix.replacing("weightstore ", with: "'\(Tool.path)' ").replacing("DIRECTORY", with: "'\(target)'")
        let result = try ChildProcess.run(["sh", "-c", script], environment: ["WEIGHTSTORE_HOME": tool.store])
        #expect(result.status == 0, "\(script): \(result.errors)")
        let rest = try examine().findings.filter { $0.check == "damage" && $0.level != "ok" }
        #expect(rest.isEmpty, "\(rest)")
    }

    @Test("an origin that is gone is named")
    func origin() throws {
        let server = try SilentServer()
        let added = try tool("origin", "add", "org/base", server.url + "/x", "--trust")
        try #require(added.status == 0, "\(added.errors)")
        let found = try faults("origins")
        #expect(found.first?.message.contains(server.url) == true, "\(found)")
    }

    @Test("an expired certificate is named, one that is valid for a day is a note")
    func certificate() throws {
        let authority = try CertificateAuthority(directory)
        for (clock, level) in [("-10d", "fault"), (nil, "note")] as [(String?, String)] {
            let certificate = try authority.issue("server", clock: clock)
            var tool = tool
            tool.environment["WEIGHTSTORE_TLS_CERTIFICATE"] = certificate.chain
            tool.environment["WEIGHTSTORE_TLS_KEY"] = certificate.key
            let found = try examine(tool).findings.filter { $0.check == "certificates" }
            #expect(found.map(\.level) == [level], "\(found)")
            #expect(found.first?.message.contains(certificate.chain) == true)
        }
    }

    @Test("a damaged catalog is a fault that names rebuild")
    func catalog() throws {
        try Data("no database, but text that is long enough for a header".utf8)
            .write(to: URL(fileURLWithPath: tool.store + "/store.db"))
        for suffix in ["-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: tool.store + "/store.db" + suffix)
        }
        let (status, findings) = try examine()
        #expect(status == 15)
        #expect(findings.contains { $0.level == "fault" && $0.fix == "weightstore rebuild" }, "\(findings)")
    }

    @Test("permissions that lock the owner out, and those that let every user write, are faults")
    func permissions() throws {
        chmod(tool.store, 0o777)
        #expect(try faults("permissions").first?.fix.hasPrefix("chmod o-w") == true)
        chmod(tool.store, 0o700)
        chmod(tool.store + "/write.lock", 0o000)
        #expect(try faults("permissions").first?.message.contains("write.lock") == true)
        chmod(tool.store + "/write.lock", 0o600)
    }

    @Test("commands quote the store's path, and name the store unless it is the default one")
    func commands() throws {
        let place = directory("it's a store")
        #expect(try tool("init", "--store", place).status == 0)
        chmod(place, 0o777)
        let findings = try tool("doctor", "--json", "--store", place).object()["findings"] as? [[String: Any]] ?? []
        let fixes = findings.compactMap { $0["fix"] as? String }
        let quoted = "'" + place.replacingOccurrences(of: "'", with: "'\\''") + "'"
        #expect(fixes.contains("chmod o-w \(quoted)"), "\(fixes)")
        let own = fixes.filter { $0.hasPrefix("weightstore ") }
        #expect(!own.isEmpty && own.allSatisfy { $0.hasSuffix(" --store \(quoted)") }, "\(fixes)")
        #expect(try examine().findings.allSatisfy { !$0.fix.contains("--store") })
    }

    @Test("a store that another user can only read has no faults", .enabled(if: Self.isRoot))
    func readOnly() throws {
        // The reader has to reach the store.
        chmod(directory.path, 0o755)
        _ = try ChildProcess.run(["chmod", "-R", "a-w,a+rX", tool.store])
        defer { _ = try? ChildProcess.run(["chmod", "-R", "u+w", directory.path]) }
        var reader = tool
        reader.prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        let (_, findings) = try examine(reader)
        #expect(!findings.contains { $0.check == "permissions" && $0.level == "fault" }, "\(findings)")
        let store = try #require(findings.first { $0.check == "store" })
        #expect(store.level == "note" && store.fix.hasSuffix("weightstore doctor --store \(tool.store)"), "\(store)")
    }

    @Test("a full disk is a fault", .enabled(if: Self.isRoot))
    func full() throws {
        let place = directory("small")
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        let mounted = try ChildProcess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", place])
        // A container may not be allowed to mount.
        guard mounted.status == 0 else { return }
        defer { _ = try? ChildProcess.run(["umount", "--lazy", place]) }
        let small = Tool(store: place + "/store")
        try #require(try small("init").status == 0)
        let file = open(place + "/filler", O_WRONLY | O_CREAT, 0o600)
        for size in [1 << 20, 4096] {
            let zeros = [UInt8](repeating: 0, count: size)
            while write(file, zeros, size) > 0 {}
        }
        close(file)
        let found = try faults("disk", small)
        #expect(found.first?.message.contains("full") == true, "\(found)")
    }

    @Test("a quota beyond the disk, leases of dead processes, and an interrupted move are notes")
    func notes() throws {
        #expect(try tool("quota", "--set", "900P").status == 0)
        try directory.write("process 1 (gone)\n", to: "store/leases/1-1")
        let queue = try DatabaseQueue(path: tool.store + "/store.db")
        try queue.write { db in
            try db.execute(
                sql: """
                    INSERT INTO move (revision_id, source) SELECT id, '/srv/moved' FROM revision LIMIT 1;
                    INSERT INTO move_file (move_id, location, inode, bytes, modified_ns, changed_ns)
                    SELECT id, '/srv/moved/file', 1, 1, 1, 1 FROM move;
                    """)
        }
        try queue.close()
        let notes = try examine().findings.filter { $0.level == "note" }
        let disk = try #require(notes.first { $0.check == "disk" && $0.message.contains("the disk fills first") })
        #expect(disk.fix.wholeMatch(of: /weightstore quota --set [0-9]+[GM]/) != nil, "\(disk)")
        #expect(notes.contains { $0.check == "leases" && $0.message.contains("1-1") }, "\(notes)")
        #expect(
            notes.contains { $0.check == "moves" && $0.fix == "weightstore import /srv/moved --name org/base --move" },
            "\(notes)")
    }
}
