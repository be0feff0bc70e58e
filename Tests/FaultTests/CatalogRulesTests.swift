import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing
@testable import Storage
@testable import WeightStore

extension Faults {
    /// The settings that make SQLite safe between processes.
    @Suite struct CatalogRulesTests {
        let directory = try! TemporaryDirectory()
        let tool: Tool
        let place: String

        init() throws {
            try TestModel(layers: 1).write(to: directory("model"))
            place = directory("store")
            tool = Tool(store: place)
            let result = try tool("import", directory("model"), "--name", "org/model")
            try #require(result.status == 0, "\(result.errors)")
        }

        @Test("the writer waits for the disk, never checkpoints by itself, and maps nothing")
        func writer() throws {
            let store = try Store(at: place)
            let expected = [
                "synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "wal_autocheckpoint": "0",
                "mmap_size": "0", "busy_timeout": "10000",
            ]
            #expect(try store.catalog.writerPragmas(Array(expected.keys)) == expected)
            // The same after operations that change some of them for a while.
            try store.catalog.write(durable: false) { db in
                try db.execute(sql: "UPDATE model SET created_at = created_at")
            }
            #expect(try store.catalog.writerPragmas(Array(expected.keys)) == expected)
            try store.catalog.checkpoint()
            #expect(try store.catalog.writerPragmas(Array(expected.keys)) == expected)
        }

        @Test("a process that wrote only access counts leaves a short log, and checkpoints a long one at its end")
        func logs() throws {
            var sizes: [Int] = []
            for _ in 0..<80 {
                let result = try tool("cat", "--tensor", "org/model", "model.norm.weight")
                try #require(result.status == 0, "\(result.errors)")
                sizes.append(try FileSystem.status(place + "/store.db-wal")?.bytes ?? 0)
            }
            #expect(sizes[0] > 0 && sizes.max()! > 100_000, "\(sizes)")
            #expect(sizes.max()! < 1 << 20 && zip(sizes, sizes.dropFirst()).contains { $0 > $1 }, "\(sizes)")
        }

        @Test("readers cannot write, never checkpoint, and map nothing")
        func readers() throws {
            let store = try Store(at: place)
            // Several at a time, so that the pool opens more than one connection.
            try store.catalog.read { first in
                for db in [first] { try expectReader(db) }
                try DispatchQueue.global().sync { try store.catalog.read { second in try expectReader(second) } }
            }
        }

        private func expectReader(_ db: Database) throws {
            for (pragma, value) in ["wal_autocheckpoint": 0, "mmap_size": 0, "busy_timeout": 10000] {
                #expect(try Int.fetchOne(db, sql: "PRAGMA \(pragma)") == value, "\(pragma)")
            }
            #expect(throws: DatabaseError.self) { try db.execute(sql: "DELETE FROM model") }
        }

        @Test("every table is STRICT")
        func strict() throws {
            try Store(at: place).catalog.read { db in
                let loose = try String.fetchAll(
                    db,
                    sql: """
                        SELECT name FROM pragma_table_list
                        WHERE type = 'table' AND NOT strict AND name NOT LIKE 'sqlite%' AND name <> 'grdb_migrations'
                        """)
                #expect(loose == [])
                #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM pragma_table_list WHERE strict")! > 10)
            }
        }

        @Test("a commit waits while another process holds the write lock, and reading does not")
        func waits() throws {
            let lock = try FileDescriptor(place + "/write.lock", O_RDWR)
            #expect(try lock.tryLock())
            let running = try tool.start(["pin", "org/model"])
            usleep(700_000)
            #expect(running.isRunning)
            #expect(try tool("ls", "--quiet").output == "org/model\n")
            let store = try Store(at: place)
            #expect(try Inspection.differences(of: "org/model", from: directory("model"), in: store) == [])
            #expect(running.isRunning)
            // Only now, because the store writes its read counts when it is closed.
            lock.unlock()
            #expect(running.result().status == 0)
        }

        @Test(
            "every write to the catalog and every checkpoint is made under the write lock",
            .enabled(if: Machine.traces, Comment(rawValue: Machine.tracing)))
        func locked() throws {
            var tool = tool
            let log = directory("log")
            tool.prefix = Trace.log(["flock", "pwrite64", "write", "ftruncate", "unlink"], to: log)
            try TestModel(layers: 1).tuned(seed: 3).write(to: directory("tuned"))
            let fresh = directory("fresh")
            for (arguments, store) in [
                (["import", directory("tuned"), "--name", "org/tuned"], place), (["tag", "org/tuned", "prod"], place),
                (["cat", "org/tuned", "config.json"], place), (["rm", "org/tuned"], place),
                (["gc", "--grace", "0"], place),
                (["verify"], place), (["import", directory("model")], fresh),
            ] {
                let result = try tool.run(arguments + ["--store", store])
                #expect(result.status == 0, "\(result.errors)")
                var isLocked = false
                var writes = 0
                for call in try Trace.calls(log) {
                    if call.name == "flock", call.line.contains("/write.lock>") {
                        isLocked = !call.line.contains("LOCK_UN")
                    } else if call.line.contains("/store.db>") || call.line.contains("/store.db-wal>")
                        || call.line.contains("/store.db-wal\"")
                    {
                        writes += 1
                        #expect(isLocked, "\(arguments): \(call.line)")
                    }
                }
                // A collection that finds nothing changes no row.
                #expect(writes > 0 || arguments[0] == "gc", "\(arguments)")
            }
        }

        @Test(
            "a staged file that has become a blob is not unlinked under its old name",
            .enabled(if: Machine.traces, Comment(rawValue: Machine.tracing)))
        func renamed() throws {
            var tool = tool
            let log = directory("log")
            tool.prefix = Trace.log(["rename", "renameat", "renameat2", "unlink", "unlinkat"], to: log)
            let result = try tool("import", directory("model"), "--store", directory("fresh"))
            #expect(result.status == 0, "\(result.errors)")
            let calls = try Trace.calls(log).filter { $0.line.contains("/fresh/staging/") }
            #expect(calls.contains { $0.name.hasPrefix("rename") })
            #expect(!calls.contains { $0.name.hasPrefix("unlink") && $0.line.contains("ENOENT") })
        }

        @Test("a log beyond the limit is truncated after the commit; a reader only delays that")
        func checkpoints() throws {
            // The time that each checkpoint would wait for a reader, in milliseconds.
            let patience = Mutex((now: "", ofCheckpoints: [String]()))
            let writer = try Store(at: place, create: false) { sql in
                patience.withLock {
                    if sql.contains("PRAGMA busy_timeout") { $0.now = String(sql.split(separator: " ").last!) }
                    if sql.contains("wal_checkpoint") { $0.ofCheckpoints.append($0.now) }
                }
            }
            let reader = try Store(at: place)
            func write(megabytes: Int) throws {
                try writer.catalog.write { db in
                    try db.execute(
                        sql: """
                            UPDATE model SET name = name;
                            INSERT INTO revision_origin (revision_id, position, url) SELECT id, ?, ? || ? FROM revision
                            """,
                        arguments: [0, UUID().uuidString, String(repeating: "x", count: megabytes << 20)])
                }
            }
            func log() throws -> Int { try FileSystem.status(place + "/store.db-wal")?.bytes ?? 0 }
            try write(megabytes: 2)
            #expect(try log() > 2 << 20)
            try write(megabytes: 17)
            #expect(try log() == 0)

            try reader.catalog.read { db in
                #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM revision_origin") == 2)
                try write(megabytes: 17)
                #expect(try log() > 17 << 20)
                try write(megabytes: 1)
                #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM revision_origin") == 2)
            }
            try write(megabytes: 1)
            #expect(try log() == 0)
            #expect(patience.withLock { $0.ofCheckpoints } == ["0", "0", "0", "0"], "no checkpoint waits for a reader")
        }

        @Test("opening a store and reading from it writes nothing to the catalog")
        func reading() throws {
            // With a log that a killed process left, which closing connections must leave alone.
            let copy = directory("copy")
            do {
                let store = try Store(at: place)
                try store.pin("org/model")
                try ChildProcess.copy(place, to: copy)
            }
            try ChildProcess.check("sh", "-c", "test -s '\(copy)/store.db-wal' && rm -f '\(copy)'/leases/*")
            for name in ["store.db", "store.db-wal"] {
                try ChildProcess.check("cp", "-p", "\(copy)/\(name)", directory(name))
            }
            let names = ["store.db", "store.db-wal"]
            func times() throws -> [Int64?] { try names.map { try FileSystem.status("\(copy)/\($0)")?.modified } }
            let before = try times()
            let tool = Tool(store: copy)
            for arguments in [["ls"], ["show", "org/model"], ["du"], ["stats"]] {
                let result = try tool.run(arguments)
                #expect(result.status == 0, "\(arguments): \(result.errors)")
            }
            do {
                let store = try Store(at: copy)
                let revision = try store.revision("org/model")
                #expect(try revision.layer(0).tensors.count > 0)
                #expect(try times() == before)
                // The use is counted, and written when the store is closed.
                try ChildProcess.check("cmp", "\(copy)/store.db", directory("store.db"))
                try ChildProcess.check("cmp", "\(copy)/store.db-wal", directory("store.db-wal"))
            }
        }

        @Test("a catalog with an unknown migration is refused with status 7, and not touched")
        func newer() throws {
            do {
                let queue = try DatabaseQueue(path: place + "/store.db")
                try queue.write { db in
                    try db.execute(sql: "INSERT INTO grdb_migrations (identifier) VALUES ('9999_from_the_future')")
                }
                _ = try queue.inDatabase { db in try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
                try queue.close()
            }
            let log = place + "/store.db-wal"
            try ChildProcess.check("cp", "-p", place + "/store.db", directory("before"))
            for arguments in [
                ["ls"], ["import", directory("model")], ["gc"], ["rm", "org/model"], ["verify"], ["stats"],
            ] {
                let result = try tool.run(arguments)
                #expect(result.status == 7, "\(arguments): \(result.errors)")
                #expect(result.errors.contains("newer version of weightstore"), "\(result.errors)")
                #expect(result.errors.contains("not changed"), "\(result.errors)")
            }
            #expect(try contents(place + "/store.db") == contents(directory("before")))
            #expect(try FileSystem.status(log)?.bytes ?? 0 == 0)
            #expect(
                try FileSystem.status(place + "/store.db")?.modified == FileSystem.status(directory("before"))?.modified
            )
        }

        @Test(
            "a store on a network file system is refused",
            .enabled(if: Machine.mountsFUSE, Comment(rawValue: Machine.fuse)))
        func network() throws {
            let mounted = try Disk.fuse(of: directory.path, subtype: "sshfs")
            for (arguments, store) in [
                (["ls"], mounted("store")), (["import", directory("model")], mounted("new")),
                (["rebuild"], mounted("store")),
            ] {
                let result = try tool.run(arguments + ["--store", store])
                #expect(result.status == 7, "\(arguments): \(result.errors)")
                #expect(result.errors.contains("sshfs (FUSE)"), "\(arguments): \(result.errors)")
                #expect(result.errors.contains("local disk"), "\(arguments): \(result.errors)")
            }
            #expect(try tool("ls").status == 0, "the same store by its local path")
        }

        @Test(
            "a store on a local FUSE file system works, such as the overlay of rootless Podman; an unknown one is a warning",
            .enabled(if: Machine.mountsFUSE, Comment(rawValue: Machine.fuse)),
            arguments: [("fuse-overlayfs", false), ("somefs", true)])
        func localFUSE(subtype: String, warns: Bool) throws {
            let mounted = try Disk.fuse(of: directory.path, subtype: subtype)
            for arguments in [
                ["import", directory("model"), "--name", "org/other"], ["load", "org/other"], ["verify"],
                ["rm", "org/other"], ["gc"],
            ] {
                let result = try tool.run(arguments + ["--store", mounted("new")])
                #expect(result.status == 0, "\(arguments): \(result.errors)")
                #expect(
                    result.errors.contains("on the FUSE file system \"\(subtype)\"") == warns,
                    "\(arguments): \(result.errors)")
            }
        }
    }
}
