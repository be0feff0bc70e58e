import Foundation
import TestSupport
import Testing

/// `Sources/Command/install`, with the files of this build. Tests/package runs it without root, and tries the Debian package.
@Suite(.blocking) struct InstallTests {
    private let directory = try! TemporaryDirectory()
    private static let script = CProgram.sources.appendingPathComponent("../../Sources/Command/install")
        .standardizedFileURL.path

    private func install(_ arguments: String...) throws -> ChildProcess.Result {
        try ChildProcess.run([Self.script, "--prefix", directory("prefix")] + arguments)
    }

    /// The files and links in the prefix, by their paths in it.
    private func installed() throws -> Set<String> {
        let found = try succeed("find", directory("prefix"), "-not", "-type", "d", "-printf", "%P\\n")
        return Set(found.split(separator: "\n").map(String.init))
    }

    @Test("install puts every part into the prefix, repeated runs keep the other parts, and --remove removes all files")
    func parts() throws {
        let library = CProgram.build + "/libweightstore-c.so"
        let first = try install("--tool", Tool.path, "--library", library)
        #expect(first.status == 0, "\(first.errors)")
        let files = try installed()
        let expected = [
            "bin/weightstore", "sbin/mount.weightstore", "lib/libweightstore.so", "lib/libweightstore.so.1",
            "lib/pkgconfig/weightstore.pc", "include/weightstore.h",
            "share/bash-completion/completions/weightstore", "share/zsh/site-functions/_weightstore",
            "share/fish/vendor_completions.d/weightstore.fish", "share/man/man1/weightstore.1",
            "share/man/man1/weightstore-policy-simulate.1", "share/man/man5/weightstore.toml.5",
            "lib/systemd/system/weightstore.service", "lib/systemd/system/weightstore-mount.service",
            "lib/systemd/system/weightstore-gc.timer",
        ]
        for file in expected { #expect(files.contains(file), "\(file)") }
        let tool = directory("prefix/bin/weightstore")
        #expect(try succeed(tool, "--version") == succeed(Tool.path, "--version"))
        let unit = try String(
            contentsOfFile: directory("prefix/lib/systemd/system/weightstore.service"), encoding: .utf8)
        #expect(unit.contains("ExecStart=\"\(tool)\" serve"), "\(unit)")
        let package = try #require(files.first { $0.hasSuffix("/weightstore/__init__.py") })
        let python = directory("prefix/" + package.components(separatedBy: "/weightstore/")[0])
        try succeed(
            "python3", "-B", "-c", "import weightstore._library as module; module.library()",
            environment: ["PYTHONPATH": python, "WEIGHTSTORE_LIBRARY": ""])

        let second = try install("--only", "completions,manual", "--tool", Tool.path)
        #expect(second.status == 0, "\(second.errors)")
        #expect(try installed() == files)
        #expect(try install("--remove").status == 0)
        #expect(try installed() == [])
        #expect(try install("--remove").status == 1)
    }

    @Test("the manual pages are well-formed")
    func manual() throws {
        #expect(try install("--only", "manual", "--tool", Tool.path).status == 0)
        let pages = try installed().filter { $0.contains("man1/") || $0.contains("man5/") }
        #expect(pages.count > 60)
        for analyzer in [
            ["/usr/bin/mandoc", "-T", "lint", "-W", "all"], ["/usr/bin/groff", "-wall", "-mandoc", "-z"],
        ]
        where FileManager.default.isExecutableFile(atPath: analyzer[0]) {
            let result = try ChildProcess.run(analyzer + pages.map { directory("prefix/\($0)") })
            // References to pages that this machine has not installed are no faults.
            let findings = (result.output + result.errors).split(separator: "\n").filter {
                !$0.contains("referenced manual not found: Xr weightstore")
            }
            #expect(findings == [])
        }
    }

    @Test("a wrong option, part, prefix or file is refused before anything is installed")
    func refusals() throws {
        try directory.write("", to: "file")
        for (arguments, status) in [
            (["--what", "1"], 64), (["stray"], 64), (["--only", "tools"], 64), (["--tool"], 64),
            (["--tool", directory("none")], 1), (["--prefix", directory("file/below")], 1),
        ] as [([String], Int32)] {
            let result = try ChildProcess.run([Self.script, "--prefix", directory("prefix")] + arguments)
            #expect(result.status == status, "\(arguments): \(result.errors)")
            #expect(result.errors.hasPrefix("Sources/Command/install: "), "\(result.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: directory("prefix")))
    }
}
