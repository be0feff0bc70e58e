import Foundation
import TestSupport
import Testing

/// The units of systemd that `service print` prints.
@Suite(.blocking) struct ServiceUnitTests {
    private static let analyzer = "/usr/bin/systemd-analyze"
    private static var hasAnalyzer: Bool { FileManager.default.isExecutableFile(atPath: analyzer) }

    private let directory = try! TemporaryDirectory()
    private let tool: Tool

    init() throws { tool = Tool(store: directory("store")) }

    @Test("units name the program, the store and the user, and make the rest of the file system read-only")
    func units() throws {
        let serve = try tool("service", "print", "serve", "--user", "models", "--store", "/srv/100% weights").output
        for line in [
            "Type=notify", "User=models", "Environment=\"WEIGHTSTORE_HOME=/srv/100%% weights\"",
            "ReadWritePaths=\"/srv/100%% weights\"", "ProtectSystem=strict", "ExecStart=\"\(Tool.path)\" serve",
        ] { #expect(serve.contains("\n\(line)\n"), "\(line): \(serve)") }
        let timer = try tool("service", "print", "evict", "--timer").output
        #expect(timer.contains("OnCalendar=*:0/10") && timer.contains("WantedBy=timers.target"))
        let mount = try tool("service", "print", "mount", "--directory", "/mnt/a b", "--program", "/opt/ws").output
        #expect(mount.contains("\nExecStart=\"/opt/ws\" mount --allow-other \"/mnt/a b\"\n"), "\(mount)")
        // Each of these gives the service a mount namespace of its own, or takes the rights of fusermount3 away.
        for option in ["Protect", "Private", "ReadWritePaths", "NoNewPrivileges", "SystemCall"] {
            #expect(!mount.contains("\n\(option)"), "\(option): \(mount)")
        }
        // SIGHUP ends a command that reads nothing again.
        for name in ["serve", "node", "warm", "mount"] {
            let unit = try tool("service", "print", name).output
            #expect(unit.contains("ExecReload=") == ["serve", "node"].contains(name), "\(unit)")
        }
        #expect(try tool("service", "print", "serve", "--timer").status == 64)
        #expect(try tool("service", "print", "mailer").status == 64)
    }

    @Test(
        "systemd accepts the units, and rates their exposure at 3 or less, except that of mount",
        .enabled(if: Self.hasAnalyzer), arguments: ["serve", "node", "warm", "mount", "gc", "evict", "verify"])
    func analyzed(name: String) throws {
        let path = directory("weightstore-\(name).service")
        let unit = try tool("service", "print", name, "--user", "root", "--store", directory("store")).output
        try directory.write(unit, to: "weightstore-\(name).service")
        let verified = try ChildProcess.run([Self.analyzer, "verify", path])
        #expect(!verified.errors.contains("weightstore-\(name)"), "\(verified.errors)")
        if name == "mount" { return }
        let rated = try ChildProcess.run([Self.analyzer, "security", "--offline=yes", "--threshold=30", path])
        #expect(rated.status == 0, "\(rated.output.suffix(300))")
    }
}
