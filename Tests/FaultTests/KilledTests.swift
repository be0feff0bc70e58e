import Foundation
import TestSupport
import Testing
@testable import WeightStore

extension Kills {
    /// SIGKILL at system calls spread over a whole run: the state that another process finds afterwards.
    @Suite(.enabled(if: Machine.traces, Comment(rawValue: Machine.tracing)))
    struct KilledTests {
        let directory = try! TemporaryDirectory()

        /// The calls that change what the next process finds. A kill at another call leaves what a kill at the next change
        /// leaves; `Tests/full` tries these, too.
        static let calls: [String] =
            ["pwrite64", "write", "rename", "renameat2", "unlink", "ftruncate", "mkdir", "fchmod"]
            + (Sweep.isFull ? ["openat", "fdatasync", "fsync", "flock", "mmap"] : [])

        /// A store with one model, and the directories `base` and `tuned` with models.
        init() throws {
            try TestModel(layers: 1).write(to: directory("base"))
            try TestModel(layers: 1).tuned(seed: 7).write(to: directory("tuned"), files: 2)
            // A file that has just changed is not remembered, and so would be hashed again.
            Thread.sleep(forTimeInterval: 0.2)
            let result = try Tool(store: directory("template"))("import", directory("base"), "--name", "org/base")
            try #require(result.status == 0, "\(result.errors)")
        }

        /// Runs a command on copies of a store, killed at ever other points, and then to its end.
        ///
        /// - Parameters:
        ///   - before: runs before each run.
        ///   - check: receives each store that was left, and whether the run was killed.
        func killing(
            _ arguments: [String], on template: String?, most: Int, of calls: [String] = calls,
            before: () throws -> Void = {},
            check: (_ store: String, _ point: String, _ wasKilled: Bool) throws -> Void
        ) throws {
            let place = directory("store")
            func prepare() throws {
                try before()
                if let template {
                    try ChildProcess.copy(template, to: place)
                } else {
                    try ChildProcess.check("rm", "-rf", place)
                }
            }
            var tool = Tool(store: place)
            let log = directory("log")
            tool.prefix = Trace.log(calls, to: log)
            try prepare()
            let whole = try tool.run(arguments)
            try #require(whole.status == 0, "\(whole.errors)")
            try check(place, "never", false)

            let points = try Trace.points(log, in: place, most: most, of: calls)
            var kills = 0
            for point in points {
                try prepare()
                tool.prefix = Trace.inject(point.call, "signal=SIGKILL", when: "\(point.ordinal)")
                let killed = try tool.run(arguments)
                // Threads share the work differently from run to run, so a run may complete.
                if killed.status == 128 + SIGKILL { kills += 1 }
                #expect([0, 128 + SIGKILL].contains(killed.status), "\(point): \(killed.errors)")
                try check(place, "\(arguments[0]) killed at \(point)", killed.status != 0)
            }
            // A thread may make fewer calls than its like in the traced run, and so not reach the last of them.
            #expect(kills >= points.count / 2, "\(kills) of \(points)")
        }

        func collect(_ store: Store, _ point: String) throws {
            _ = try store.collectGarbage(graceSeconds: 0)
            #expect(try Inspection.leftovers(in: store) == [], "\(point)")
        }

        func expectBase(_ store: Store, _ point: String) throws {
            #expect(try Inspection.differences(of: "org/base", from: directory("base"), in: store) == [], "\(point)")
        }

        private func importTuned(into store: Store) throws -> ImportSummary {
            try store.importModelBlocking(ImportRequest(source: directory("tuned"), name: "org/tuned"))
        }

        @Test("a killed import leaves the store as it was, and garbage that gc finds; the next import succeeds")
        func imports() throws {
            var isEven = false
            try killing(
                ["import", directory("tuned"), "--name", "org/tuned"], on: directory("template"), most: 3
            ) { place, point, wasKilled in
                let store = try Store(at: place)
                let before: Set = ["org/base@~1"]
                let after = before.union(["org/tuned@~1"])
                let revisions = try Inspection.revisions(in: store)
                #expect(wasKilled ? revisions == before || revisions == after : revisions == after, "\(point)")
                try expectBase(store, point)
                // Every other time the next run finds the leftovers of the killed one.
                isEven.toggle()
                if isEven { try collect(store, point) }
                #expect(try Inspection.revisions(in: store) == revisions, "\(point)")
                _ = try importTuned(into: store)
                #expect(
                    try Inspection.differences(of: "org/tuned", from: directory("tuned"), in: store) == [], "\(point)")
                try expectBase(store, point)
                try collect(store, point)
            }
        }

        @Test("a store can be created after its first import was killed at any point")
        func firstImport() throws {
            try killing(["import", directory("base"), "--name", "org/base"], on: nil, most: 2) { place, point, _ in
                let again = try Tool(store: place)("import", directory("base"), "--name", "org/base")
                #expect(again.status == 0, "\(point): \(again.errors)")
                let store = try Store(at: place)
                #expect(try Inspection.revisions(in: store) == ["org/base@~1"], "\(point)")
                try expectBase(store, point)
                try collect(store, point)
            }
        }

        @Test("bytes that were durable when an import was killed are not written again")
        func resumes() throws {
            let place = directory("store")
            var tool = Tool(store: place)
            let log = directory("log")
            tool.prefix = Trace.log(["rename"], to: log)
            try ChildProcess.copy(directory("template"), to: place)
            try tool("import", directory("tuned"), "--name", "org/tuned")
            // The last rename installs the model's record, in the last transaction: all shards are durable by then.
            let last = try #require(try Trace.points(log, in: place, most: 100, of: ["rename"]).last)
            try ChildProcess.copy(directory("template"), to: place)
            tool.prefix = Trace.inject("rename", "signal=SIGKILL", when: "\(last.ordinal)")
            #expect(try tool("import", directory("tuned"), "--name", "org/tuned").status == 128 + SIGKILL)
            #expect(try Inspection.revisions(in: Store(at: place)) == ["org/base@~1"])
            tool.prefix = []
            let again = try tool("import", directory("tuned"), "--name", "org/tuned", "--json").object()
            #expect(again["written"] as? Int == 0)
            #expect(again["skippedBytes"] as? Int == again["bytes"] as? Int)
            #expect(again["bytes"] as? Int ?? 0 > 3_000_000)
        }

        /// `template`, with two models that share shards.
        private func templateOfTwo() throws -> String {
            try ChildProcess.copy(directory("template"), to: directory("two"))
            let result = try Tool(store: directory("two"))("import", directory("tuned"), "--name", "org/tuned")
            try #require(result.status == 0, "\(result.errors)")
            return directory("two")
        }

        @Test("a killed rm removes a model as a whole or not at all, and nothing of another")
        func removals() throws {
            try killing(["rm", "org/tuned"], on: templateOfTwo(), most: 2) { place, point, wasKilled in
                let store = try Store(at: place)
                try expectBase(store, point)
                let isThere = try Inspection.revisions(in: store).contains("org/tuned@~1")
                #expect(wasKilled || !isThere, "\(point)")
                if isThere {
                    #expect(
                        try Inspection.differences(of: "org/tuned", from: directory("tuned"), in: store) == [],
                        "\(point)")
                }
                try collect(store, point)
                try expectBase(store, point)
            }
        }

        @Test("a killed gc loses nothing that rows own, and the next one finishes its work")
        func collections() throws {
            // An interrupted import's shards, stray blobs, staging of a dead process.
            let dirty = directory("dirty")
            try ChildProcess.copy(directory("template"), to: dirty)
            var tool = Tool(store: dirty)
            tool.prefix = Trace.log(["rename"], to: directory("log"))
            try ChildProcess.copy(directory("template"), to: directory("store"))
            try Tool(store: directory("store"))("rm", "org/base")
            try tool("import", directory("tuned"), "--name", "org/tuned")
            let last = try #require(try Trace.points(directory("log"), in: dirty, most: 100, of: ["rename"]).last)
            try ChildProcess.copy(directory("template"), to: dirty)
            tool.prefix = Trace.inject("rename", "signal=SIGKILL", when: "\(last.ordinal)")
            #expect(try tool("import", directory("tuned"), "--name", "org/tuned").status == 128 + SIGKILL)
            let stray = String(repeating: "ab", count: 32)
            try FileManager.default.createDirectory(atPath: dirty + "/blobs/ab", withIntermediateDirectories: true)
            try Data("stray".utf8).write(to: URL(fileURLWithPath: "\(dirty)/blobs/ab/\(stray)"))

            try killing(["gc", "--grace", "0"], on: dirty, most: 2) { place, point, wasKilled in
                let store = try Store(at: place)
                try expectBase(store, point)
                if !wasKilled { #expect(try Inspection.leftovers(in: store) == [], "\(point)") }
                try collect(store, point)
                try expectBase(store, point)
            }
        }

        @Test("a killed rebuild leaves the old catalog, the new one, or a store whose error advises a rebuild")
        func rebuilds() throws {
            // With the last import in the log alone, as a killed process leaves it: losing the log would lose the model.
            let template = try logged()
            try killing(["rebuild"], on: template, most: 2) { place, point, _ in
                do {
                    let store = try Store(at: place)
                    #expect(try Inspection.revisions(in: store) == ["org/base@~1", "org/tuned@~1"], "\(point)")
                } catch StorageError.catalogDamaged {
                    #expect(try Tool(store: place)("ls").status == 7, "\(point)")
                }
                let again = try Tool(store: place)("rebuild")
                #expect(again.status == 0, "\(point): \(again.errors)")
                let store = try Store(at: place)
                try collect(store, point)
                #expect(try Inspection.revisions(in: store) == ["org/base@~1", "org/tuned@~1"], "\(point)")
                try expectBase(store, point)
                #expect(
                    try Inspection.differences(of: "org/tuned", from: directory("tuned"), in: store) == [], "\(point)")
            }
        }

        @Test("a killed rebuild of a store without blobs leaves no catalog that is older than the blobs")
        func emptyRebuilds() throws {
            let template = directory("empty")
            #expect(try Tool(store: template)("init").status == 0)
            // All renames and removals, and some of the writes.
            try killing(["rebuild"], on: template, most: 8) { place, point, _ in
                do {
                    // It is refused if the catalog is older.
                    try collect(Store(at: place), point)
                } catch StorageError.catalogDamaged {
                    let refused = try Tool(store: place)("ls")
                    #expect(refused.status == 7 && refused.errors.contains("rebuild"), "\(point): \(refused.errors)")
                }
                let again = try Tool(store: place)("rebuild")
                #expect(again.status == 0, "\(point): \(again.errors)")
                let imported = try Tool(store: place)("import", directory("base"), "--name", "org/base")
                #expect(imported.status == 0, "\(point): \(imported.errors)")
                let store = try Store(at: place)
                try collect(store, point)
                try expectBase(store, point)
            }
        }

        /// A store with two models whose last commits are only in the log.
        private func logged() throws -> String {
            let place = directory("logged")
            try ChildProcess.copy(directory("template"), to: place)
            let store = try Store(at: place)
            _ = try importTuned(into: store)
            try ChildProcess.copy(place, to: directory("copy"))
            try ChildProcess.check(
                "sh", "-c", "rm -f '\(directory("copy"))'/leases/* && test -s '\(directory("copy"))/store.db-wal'")
            return directory("copy")
        }

        @Test("a model that is removed after a killed change stays removed at a rebuild")
        func removedAfterKill() throws {
            try killing(["tag", "org/tuned", "prod"], on: templateOfTwo(), most: 2) { place, point, _ in
                let tool = Tool(store: place)
                let removed = try tool("rm", "org/tuned")
                #expect(removed.status == 0, "\(point): \(removed.errors)")
                let rebuilt = try tool("rebuild")
                #expect(rebuilt.status == 0, "\(point): \(rebuilt.errors)")
                #expect(try Inspection.revisions(in: Store(at: place)) == ["org/base@~1"], "\(point)")
            }
        }

        @Test("a model whose removal was killed and completed by gc stays removed at a rebuild")
        func killedRemoval() throws {
            try killing(["rm", "org/tuned"], on: templateOfTwo(), most: 2) { place, point, _ in
                let left = try Inspection.revisions(in: Store(at: place))
                let tool = Tool(store: place)
                try tool("gc")
                let rebuilt = try tool("rebuild")
                #expect(rebuilt.status == 0, "\(point): \(rebuilt.errors)")
                let store = try Store(at: place)
                #expect(try Inspection.revisions(in: store) == left, "\(point)")
                try expectBase(store, point)
            }
        }

        @Test("a rebuild uses the record that was committed last, not one that a killed change left")
        func records() throws {
            let place = directory("store")
            let tool = Tool(store: place)
            func records(in store: String) -> [String] {
                TemporaryDirectory.files(below: store + "/blobs").filter { $0.hasSuffix(".record") }
            }
            func leave(_ record: String, of store: String) throws {
                let target = "\(place)/blobs/\(record)"
                try FileSystem.createDirectory(FileSystem.parent(of: target))
                try ChildProcess.check("cp", "\(store)/blobs/\(record)", target)
            }
            func expectRebuilt() throws {
                try tool("pin", "org/base", "--note", "last")
                let before = try tool("show", "org/base", "--json").object()
                #expect(try tool("rebuild").status == 0)
                let after = try tool("show", "org/base", "--json").object()
                #expect(after["revisions"] as? NSArray == before["revisions"] as? NSArray)
            }

            // The leftovers of each of these commands, if it is killed between the installation of a record and the
            // commit.
            try ChildProcess.copy(directory("template"), to: place)
            for number in 1...6 {
                let other = directory("other\(number)")
                try ChildProcess.copy(directory("template"), to: other)
                try Tool(store: other)("tag", "org/base", "killed\(number)")
                try leave(try #require(records(in: other).first), of: other)
            }
            #expect(records(in: place).count == 7)
            try expectRebuilt()

            // An rm is killed between its commit and the removal of the blobs, and the model is imported again.
            try ChildProcess.copy(directory("template"), to: place)
            for number in 1...3 { try tool("tag", "org/base", "old\(number)") }
            try ChildProcess.copy(place, to: directory("other"))
            try tool("rm", "org/base")
            try leave(try #require(records(in: directory("other")).first), of: directory("other"))
            try tool("import", directory("base"), "--name", "org/base")
            #expect(records(in: place).count == 2)
            try expectRebuilt()
        }
    }
}
