import Foundation
import Glibc
import TestSupport
import Testing
@testable import WeightStore

/// A user id of the system, without a name.
private struct User {
    let id: Int
    var groups = "100"
    var umask = "022"

    static let alice = User(id: 61001)
    static let bob = User(id: 61002)
    static let outsider = User(id: 61003, groups: "61003")

    /// Before a command: runs it as this user.
    var prefix: [String] {
        [
            "setpriv", "--reuid", "\(id)", "--regid", "\(id)", "--groups", groups, "/bin/sh", "-c",
            "umask \(umask); exec \"$@\"", "sh",
        ]
    }

    /// The tool, run by this user.
    func tool(_ store: String) -> Tool {
        var tool = Tool(store: store)
        tool.prefix = prefix
        // That of the tests may belong to root.
        tool.environment["TMPDIR"] = "/tmp"
        return tool
    }
}

extension Faults {
    /// Several users of one store, with the rights of real users.
    @Suite(.enabled(if: Machine.runsAsOthers, Comment(rawValue: Machine.others)))
    struct SeveralUsersTests {
        let directory = try! TemporaryDirectory()
        let place: String

        init() throws {
            place = directory("home/store")
            try TestModel(layers: 1).write(to: directory("model"))
            try TestModel(layers: 1, seed: 2).write(to: directory("next"))
            try FileManager.default.createDirectory(atPath: directory("home"), withIntermediateDirectories: true)
            chmod(directory.path, 0o755)
            chown(directory("home"), uid_t(User.alice.id), 100)
        }

        private func check(_ tool: Tool, _ arguments: String...) throws {
            let result = try tool.run(arguments)
            #expect(result.status == 0, "\(tool.prefix) \(arguments): \(result.errors)")
        }

        /// The files of the store that a user owns.
        private func files(of user: Int) throws -> String {
            try ChildProcess.check("find", place, "-uid", "\(user)", "-printf", "%P\n")
        }

        @Test("a store is read by a user who may not write it, and its owner's files stay as they are")
        func reader() throws {
            let (alice, bob) = (User.alice.tool(place), User.bob.tool(place))
            try check(alice, "import", directory("model"), "--name", "org/model")
            let before = try ChildProcess.check("find", place, "-printf", "%P %U %m\n")
            let file = try contents(directory("model/model.safetensors"))
            for name in ["ls", "stats", "du", "quota"] { try check(bob, name) }
            for arguments in [
                ["show", "org/model"], ["load", "org/model"], ["policy", "explain", "lru"], ["kv", "ls"],
            ] {
                #expect(try bob.run(arguments).status == 0, "\(arguments)")
            }
            let cat = try bob("cat", "org/model", "model.safetensors")
            #expect(cat.status == 0 && cat.bytes == file)
            #expect(cat.errors.contains("Permission denied") && cat.errors.contains("uses are not counted"))
            #expect(try ChildProcess.check("find", place, "-printf", "%P %U %m\n") == before)
            for arguments in [
                ["tag", "org/model", "prod"], ["gc"], ["rm", "org/model"], ["verify", "--origins"],
                ["evict", "--free", "1M"],
                ["import", directory("next")], ["rebuild"], ["quota", "--set", "1G"],
            ] {
                let refused = try bob.run(arguments)
                #expect(refused.status == 14, "\(arguments)")
                #expect(refused.errors.contains("The store can only be read"), "\(arguments): \(refused.errors)")
            }
            // It reads the commits of its owner that are not checkpointed.
            let holder = try alice.start(["load", "org/model", "--hold"])
            try blockUntil { try bob("stats").output.contains("load") }
            try check(alice, "import", directory("next"), "--name", "org/next")
            #expect(try bob("ls", "--quiet").output == "org/model\norg/next\n")
            holder.end()
            try check(alice, "rm", "org/next")
            try check(alice, "gc", "--grace", "0")
            #expect(try bob("ls", "--quiet").output == "org/model\n")
            #expect(try files(of: User.bob.id) == "")
        }

        @Test("verify in a store that can only be read reports the damage, and moves and records nothing")
        func verify() throws {
            let (alice, bob) = (User.alice.tool(place), User.bob.tool(place))
            try check(alice, "import", directory("model"), "--name", "org/model")
            let whole = try bob("verify")
            #expect(whole.status == 0, "\(whole.errors)")
            #expect(whole.output.contains("all intact") && whole.output.contains("nothing was moved or recorded"))
            let blobs = try ChildProcess.check(
                "find", place + "/blobs", "-type", "f", "-size", "+1000c", "-name", "*[0-9a-f]"
            )
            .split(separator: "\n").filter { $0.split(separator: "/").last?.utf8.count == 64 }.map(String.init).sorted()
            let changed = try #require(blobs.first)
            let gone = try #require(blobs.last)
            try #require(changed != gone)
            let manifest = try #require(
                ChildProcess.check("find", place + "/blobs", "-name", "*.manifest").split(separator: "\n").first)
            for path in [changed, String(manifest)] {
                let file = try FileHandle(forUpdating: URL(filePath: path))
                try file.write(contentsOf: Data("damage".utf8))
                try file.synchronize()
                try file.close()
            }
            try FileManager.default.removeItem(atPath: gone)
            let before = try ChildProcess.check("find", place, "-printf", "%P %U %m %s %T@\n")
            let found = try bob("verify")
            #expect(found.status == 3, "\(found.errors)")
            #expect(
                found.errors.contains("damaged: SHA-256 is") && found.errors.contains("missing: its file")
                    && found.errors.contains("manifest: SHA-256 is") && found.errors.contains("org/model@~1"))
            #expect(found.output.contains("3 damaged or missing; ") && !found.output.contains("heal"))
            #expect(found.output.contains("nothing was moved or recorded"))
            let report = try bob("verify", "org/model", "--json").object()
            #expect(report["isReadOnly"] as? Bool == true && (report["damage"] as? [Any])?.count == 3)
            #expect(try ChildProcess.check("find", place, "-printf", "%P %U %m %s %T@\n") == before)
            let owner = try alice("verify")
            #expect(owner.status == 3 && owner.output.contains("heal"))
            #expect(try !FileManager.default.contentsOfDirectory(atPath: place + "/quarantine").isEmpty)
            // The owner's findings are recorded from then on.
            let known = try bob("verify")
            #expect(known.status == 3 && known.errors.contains("found earlier"), "\(known.errors)")
        }

        @Test("a catalog without its log is copied to be read, and a missing blob is reported as removed")
        func copied() throws {
            let (alice, bob) = (User.alice.tool(place), User.bob.tool(place))
            try check(alice, "import", directory("model"), "--name", "org/model")
            for suffix in ["-wal", "-shm"] { unlink(place + "/store.db" + suffix) }
            #expect(try bob("ls", "--quiet").output == "org/model\n")
            #expect(try bob("cat", "org/model", "config.json").status == 0)
            #expect(!FileManager.default.fileExists(atPath: place + "/store.db-wal"))
            let digest = try #require(
                try bob("files", "org/model", "--json").list().first { $0["path"] as? String == "config.json" }?[
                    "digest"]
                    as? String)
            unlink("\(place)/blobs/\(digest.prefix(2))/\(digest)")
            let gone = try bob("cat", "org/model", "config.json")
            #expect(gone.status == 2 && gone.errors.contains("removed or evicted by another process"), "\(gone.errors)")
        }

        @Test("an older store that can only be read is not migrated, and says so")
        func older() throws {
            let fixture = try StoreFixture()
            chmod(fixture.directory.path, 0o755)
            let result = try User.bob.tool(fixture.store)("ls")
            #expect(result.status == 14 && result.errors.contains("older version"), "\(result.errors)")
        }

        @Test(
            "members of a group share a store, whatever their umask, and others cannot read it",
            arguments: [true, false])
        func group(isNew: Bool) throws {
            var (alice, bob) = (User.alice, User.bob)
            (alice.umask, bob.umask) = ("077", "022")
            let owner = alice.tool(place)
            if !isNew { try check(User.alice.tool(place), "import", directory("model"), "--name", "org/model") }
            try check(owner, "init", "--shared-group", "100")
            if isNew { try check(owner, "import", directory("model"), "--name", "org/model") }
            let member = bob.tool(place)
            for round in 1...2 {
                for (tool, other) in [(member, owner), (owner, member)] {
                    let name = "org/n\(round)"
                    for arguments in [
                        ["ls"], ["load", "org/model"], ["import", directory("next"), "--name", name],
                        ["cat", name, "config.json"], ["tag", name, "prod"], ["verify"], ["gc", "--grace", "0"],
                        ["quota", "--set", "1G"], ["evict", "--free", "1M"],
                    ] {
                        let result = try tool.run(arguments)
                        // Nothing has an origin.
                        #expect(result.status == (arguments[0] == "evict" ? 13 : 0), "\(arguments): \(result.errors)")
                    }
                    #expect(
                        try other.run(["export", name, directory("out-\(UInt32.random(in: 0 ... .max))")]).status != 7)
                    try check(other, "rm", name)
                    try check(other, "gc", "--grace", "0")
                }
            }
            // No file is closed to the group, and none is open to others.
            #expect(try ChildProcess.check("find", place, "-type", "d", "!", "-perm", "2770") == "")
            #expect(try ChildProcess.check("find", place, "-type", "f", "!", "-perm", "-040") == "")
            #expect(try ChildProcess.check("find", place, "-type", "f", "-perm", "-200", "!", "-perm", "-020") == "")
            #expect(try ChildProcess.check("find", place, "-perm", "/007") == "")
            #expect(try User.outsider.tool(place)("ls").status != 0)
        }

        @Test("a group's directory with umask 002 is enough to share a store")
        func umask() throws {
            var (alice, bob) = (User.alice, User.bob)
            (alice.umask, bob.umask) = ("002", "002")
            try ChildProcess.check("install", "-d", "-o", "\(alice.id)", "-g", "100", "-m", "2775", place)
            try check(alice.tool(place), "import", directory("model"), "--name", "org/model")
            for name in ["ls", "stats", "gc"] { try check(bob.tool(place), name) }
            try check(bob.tool(place), "load", "org/model")
            try check(alice.tool(place), "import", directory("next"), "--name", "org/next")
            try check(bob.tool(place), "rm", "org/next")
            try check(alice.tool(place), "gc", "--grace", "0")
        }

        @Test("root's commands in a user's store leave only files that belong to the user")
        func root() throws {
            let (alice, root) = (User.alice.tool(place), Tool(store: place))
            try check(
                alice, "import", directory("model"), "--name", "org/model", "--origin", "file://" + directory("model"))
            for arguments in [
                ["gc"], ["import", directory("next"), "--name", "org/next"], ["load", "org/model"], ["record", "on"],
                ["load", "org/next"], ["evict", "--free", "1T"], ["evict", "--free", "1M", "--kind", "kv"], ["verify"],
                ["backup", directory("copy")], ["gc", "--grace", "0"],
            ] {
                let result = try root.run(arguments)
                #expect(result.status == (arguments[0] == "evict" ? 13 : 0), "\(arguments): \(result.errors)")
            }
            #expect(try files(of: 0) == "")
            for arguments in [
                ["load", "org/model"], ["gc"], ["evict", "--free", "1T"], ["verify"], ["rm", "org/next"],
                ["import", directory("next"), "--name", "org/again"], ["gc", "--grace", "0"],
            ] {
                let result = try alice.run(arguments)
                #expect(result.status == (arguments[0] == "evict" ? 13 : 0), "\(arguments): \(result.errors)")
            }
            // A rebuild by root, too.
            #expect(try root("rebuild").status == 0)
            #expect(try files(of: 0) == "")
            try check(alice, "gc")
        }
    }

    /// A store on a read-only mount.
    @Suite(.enabled(if: Machine.mountsPrivately, Comment(rawValue: Machine.namespaces)))
    struct ReadOnlyMountTests {
        let directory = try! TemporaryDirectory()
        let tool: Tool
        /// The tool, with the store mounted read-only in a namespace of its own.
        var reader: Tool

        init() throws {
            tool = Tool(store: directory("store"))
            try TestModel(layers: 1).write(to: directory("model"))
            try TestModel(layers: 1, seed: 2).write(to: directory("next"))
            try #require(try tool("import", directory("model"), "--name", "org/model").status == 0)
            reader = tool
            reader.prefix = [
                "unshare", "-m", "/bin/sh", "-c",
                "mount --make-rprivate / && mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"",
                tool.store,
            ]
        }

        private func readsAll(_ models: String) throws {
            #expect(try reader("ls", "--quiet").output == models)
            for arguments in [
                ["show", "org/model"], ["stats"], ["quota"], ["load", "org/model"], ["policy", "explain", "lru"],
                ["export", "org/model", directory("out"), "--force"], ["verify"],
            ] {
                let result = try reader.run(arguments)
                #expect(result.status == 0, "\(arguments): \(result.errors)")
            }
            let cat = try reader("cat", "org/model", "model.safetensors")
            #expect(try cat.status == 0 && cat.bytes == contents(directory("model/model.safetensors")))
            #expect(cat.errors.contains("Read-only file system"))
        }

        @Test(
            "everything is read from a read-only mount, with a log, without one, and with one that is not checkpointed")
        func reads() throws {
            try readsAll("org/model\n")
            for arguments in [["gc"], ["tag", "org/model", "prod"], ["import", directory("next")]] {
                let refused = try reader.run(arguments)
                #expect(refused.status == 14 && refused.errors.contains("Read-only file system"), "\(refused.errors)")
            }
            for suffix in ["-wal", "-shm"] { unlink(tool.store + "/store.db" + suffix) }
            try readsAll("org/model\n")
            // A process that has the store open keeps the import from being checkpointed.
            let holder = try tool.start(["load", "org/model", "--hold"])
            try blockUntil { try tool("stats").output.contains("load") }
            #expect(try tool("import", directory("next"), "--name", "org/next").status == 0)
            try readsAll("org/model\norg/next\n")
            holder.end(SIGKILL)
            unlink(tool.store + "/store.db-shm")
            try readsAll("org/model\norg/next\n")
            #expect(try tool("verify").status == 0)
        }
    }
}
