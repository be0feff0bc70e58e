import Foundation
import TestSupport
import Testing
@testable import WeightStore

extension Faults {
    /// Failing reads: data that cannot be read is neither missing nor garbage.
    @Suite(.enabled(if: Machine.traces, Comment(rawValue: Machine.tracing)))
    struct UnreadableTests {
        let directory = try! TemporaryDirectory()
        let tool: Tool
        let place: String

        init() throws {
            place = directory("store")
            tool = Tool(store: place)
            try TestModel(layers: 1).write(to: directory("model"))
            for name in ["org/one", "org/two"] {
                let result = try tool("import", directory("model"), "--name", name)
                try #require(result.status == 0, "\(result.errors)")
            }
        }

        /// The tool, with a call on a path that fails.
        private func failing(_ call: String, on path: String, _ action: String = "error=EIO", when: String = "1+")
            -> Tool
        {
            var tool = tool
            // Also by its name alone, relative to the descriptor of its directory.
            tool.prefix = Trace.inject(
                call, action, when: when, of: [path, FileSystem.name(of: path)], log: directory("log"))
            return tool
        }

        private func blob(_ suffix: String) throws -> String {
            let name = try #require(TemporaryDirectory.files(below: place + "/blobs").first { $0.hasSuffix(suffix) })
            return "\(place)/blobs/\(name)"
        }

        private func expectWhole() throws {
            #expect(try tool("gc", "--grace", "0").output.isEmpty)
            #expect(try tool("ls", "--quiet").output == "org/one\norg/two\n")
            #expect(try tool("verify").output.contains("all intact"))
        }

        @Test("a rebuild ends if the status of a blob cannot be read: the blob is not missing")
        func status() throws {
            let name = try #require(TemporaryDirectory.files(below: place + "/blobs").first { !$0.contains(".") })
            let result = try failing("newfstatat,statx", on: "\(place)/blobs/\(name)").run(["rebuild"])
            #expect(result.status == 1, "\(result.status) \(result.output) \(result.errors)")
            #expect(
                result.errors.contains("\(name): ") && result.errors.contains("Input/output error"), "\(result.errors)")
            try expectWhole()
        }

        @Test(
            "a directory of blobs whose entries cannot be read ends gc and rebuild with an error, and nothing changes")
        func directories() throws {
            let record = try blob(".record")
            let folder = FileSystem.parent(of: record)
            for arguments in [["gc", "--grace", "0"], ["rebuild"]] {
                let result = try failing("getdents64", on: folder, when: "1").run(arguments)
                #expect(result.status == 1, "\(arguments): \(result.status) \(result.errors)")
                #expect(result.errors.contains("Input/output error"), "\(arguments): \(result.errors)")
                try expectWhole()
            }
        }

        @Test(
            "a record or manifest that cannot be read ends a rebuild, and the old catalog stays",
            arguments: [".record", ".manifest"])
        func descriptions(_ suffix: String) throws {
            let result = try failing("read", on: try blob(suffix)).run(["rebuild"])
            #expect(result.status == 1, "\(result.status) \(result.errors)")
            #expect(result.errors.contains("Input/output error"), "\(result.errors)")
            try expectWhole()
        }

        @Test("leases that cannot be read do not count as no leases")
        func leases() throws {
            let result = try failing("getdents64", on: place + "/leases", when: "1").run(["rm", "org/one"])
            #expect(result.status == 1, "\(result.status) \(result.errors)")
            try expectWhole()
        }

        @Test("an I/O error in the catalog, and one at its opening, do not advise a rebuild")
        func advice() throws {
            for (call, error) in [("pread64", "EIO"), ("openat", "EMFILE"), ("openat", "EACCES")] {
                let result = try failing(call, on: place + "/store.db", "error=\(error)").run(["ls"])
                #expect(result.status != 0)
                #expect(!result.errors.contains("rebuild"), "\(error): \(result.errors)")
            }
            #expect(try tool("ls").status == 0)
        }

        @Test("a shard with one short read is not marked damaged")
        func shortRead() throws {
            let shard = try #require(
                TemporaryDirectory.files(below: place + "/blobs").map { "\(place)/blobs/\($0)" }.first {
                    try !$0.contains(".") && (FileSystem.status($0)?.bytes ?? 0) > 1 << 20
                })
            let result = try failing("pread64", on: shard, "retval=4096", when: "1").run(["verify"])
            #expect(result.status == 0, "\(result.errors)")
            try expectWhole()
        }

        /// The largest shard, without `/proc` in its path.
        private func largest() throws -> String {
            let blobs = TemporaryDirectory.files(below: place + "/blobs").filter { !$0.contains(".") }
            let largest = try blobs.map { "\(place)/blobs/\($0)" }.max {
                try FileSystem.status($0)?.bytes ?? 0 < FileSystem.status($1)?.bytes ?? 0
            }
            return try #require(largest)
        }

        @Test(
            "an unreadable sector is damage: verify sets the shard aside, names its models and continues; an import restores it",
            arguments: ["EIO", "EUCLEAN", "ESTALE"])
        func sector(_ error: String) throws {
            let result = try failing("pread64", on: largest(), "error=\(error)").run(["verify", "--json"])
            #expect(result.status == 3, "\(result.errors)")
            let summary = try result.object()
            let damage = try #require(summary["damage"] as? [[String: Any]])
            #expect(damage.count == 1)
            #expect(damage.first?["revisions"] as? [String] == ["org/one@~1", "org/two@~1"])
            #expect((damage.first?["detail"] as? String)?.contains("cannot be read") == true)
            // All others were read, too.
            let shards = TemporaryDirectory.files(below: place + "/blobs").count { !$0.contains(".") }
            #expect(summary["shards"] as? Int == shards + 1)
            #expect(try tool("import", directory("model"), "--name", "org/one").status == 0)
            // It removes the file in quarantine.
            try tool("gc")
            try expectWhole()
        }

        @Test("cat and export report an unreadable sector as damage, and set the shard aside")
        func reads() throws {
            let shard = try largest()
            let result = try failing("pread64", on: shard).run(["cat", "org/one", "model.safetensors"])
            #expect(result.status == 3, "\(result.status) \(result.errors)")
            #expect(result.errors.contains("Input/output error"), "\(result.errors)")
            #expect(result.errors.contains("org/one@~1, org/two@~1"), "\(result.errors)")
            #expect(!FileSystem.exists(shard))
            let exported = try tool("export", "org/two", directory("out"))
            #expect(exported.status == 3, "\(exported.status) \(exported.errors)")
            #expect(try tool("import", directory("model"), "--name", "org/one").status == 0)
            // It removes the file in quarantine.
            try tool("gc")
            try expectWhole()
        }

        @Test("with an origin, cat refetches a shard with an unreadable sector, and prints the right bytes")
        func healed() throws {
            for name in ["org/one", "org/two"] {
                try tool("origin", "add", name, "file://\(directory("model"))")
            }
            let shard = try largest()
            // The read and the two reads that confirm the damage.
            let result = try failing("pread64", on: shard, when: "1..3").run(["cat", "org/one", "model.safetensors"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(try Array(result.bytes) == contents(directory("model/model.safetensors")))
            #expect(FileSystem.exists(shard))
            try tool("gc")
            try expectWhole()
        }

        @Test("an open that is interrupted without end fails with an error")
        func interrupted() throws {
            let result = try failing("openat", on: largest(), "error=EINTR").run([
                "cat", "org/one", "model.safetensors",
            ])
            #expect(result.status == 1, "\(result.status) \(result.errors)")
            #expect(result.errors.contains("Interrupted system call"), "\(result.errors)")
        }
    }
}
