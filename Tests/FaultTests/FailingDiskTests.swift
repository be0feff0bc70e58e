import Foundation
import Support
import TestSupport
import Testing
@testable import WeightStore

extension Faults {
    /// System calls that fail, one by one: the message, and the contents of the store afterwards.
    @Suite(.enabled(if: Machine.traces, Comment(rawValue: Machine.tracing)))
    struct FailingDiskTests {
        let directory = try! TemporaryDirectory()

        init() throws {
            try TestModel(layers: 1).write(to: directory("base"))
            try TestModel(layers: 1).tuned(seed: 7).write(to: directory("tuned"))
            let result = try Tool(store: directory("template"))("import", directory("base"), "--name", "org/base")
            try #require(result.status == 0, "\(result.errors)")
        }

        /// Imports `tuned` into copies of the store, with a call that fails at ever other points.
        private func failing(
            _ calls: [String], with error: String, onward: Bool = false, most: Int,
            check: (_ result: Tool.Result, _ store: Store, _ point: String) throws -> Void
        ) throws {
            let place = directory("store")
            var tool = Tool(store: place)
            let log = directory("log")
            tool.prefix = Trace.log(calls, to: log)
            try ChildProcess.copy(directory("template"), to: place)
            try tool("import", directory("tuned"), "--name", "org/tuned")
            let points = try Trace.points(log, in: place, most: most, of: calls)
            try #require(!points.isEmpty)
            for point in points {
                try ChildProcess.copy(directory("template"), to: place)
                tool.prefix = Trace.inject(
                    point.call, "error=\(error)", when: "\(point.ordinal)\(onward ? "+" : "")", log: log)
                let result = try tool("import", directory("tuned"), "--name", "org/tuned")
                let store = try Store(at: place)
                let revisions = try Inspection.revisions(in: store)
                let isDone = result.status == 0
                #expect(
                    revisions == (isDone ? ["org/base@~1", "org/tuned@~1"] : ["org/base@~1"]),
                    "\(point): \(result.status) \(result.errors)")
                try check(result, store, "\(point)")
                #expect(try Inspection.differences(of: "org/base", from: directory("base"), in: store) == [])
                _ = try store.collectGarbage(graceSeconds: 0)
                #expect(try Inspection.leftovers(in: store) == [], "\(point)")
                _ = try store.importModelBlocking(ImportRequest(source: directory("tuned"), name: "org/tuned"))
                #expect(try Inspection.differences(of: "org/tuned", from: directory("tuned"), in: store) == [])
            }
        }

        @Test("a sync that fails fails the import, and is not tried again")
        func syncs() throws {
            var failed: [String] = []
            try failing(["fdatasync", "fsync"], with: "EIO", most: 6) { result, _, point in
                let calls = try Trace.calls(directory("log"))
                // Threads share the work differently from run to run, so a run may not reach this point.
                guard let injected = calls.firstIndex(where: { $0.line.contains("INJECTED") }) else { return }
                let path = try #require(
                    calls[injected].line.split(separator: "<").dropFirst().first?.split(separator: ">").first)
                if result.status != 0 {
                    #expect(result.status == 1, "\(point): \(result.errors)")
                    #expect(
                        result.errors.contains("Input/output error") || result.errors.contains("disk I/O error"),
                        "\(point): \(result.errors)")
                    failed.append(String(path))
                } else {
                    // The commit is complete: only the checkpoint of the log failed, or the sync of the directory for a
                    // log, whose failure SQLite ignores.
                    #expect(
                        ["/store.db", "/store.db-wal", "/store"].contains { path.hasSuffix($0) }, "\(point): \(path)")
                }
                if path.contains("/staging/") {
                    #expect(!calls[(injected + 1)...].contains { $0.line.contains("<\(path)>") }, "\(point)")
                }
            }
            for place in ["/staging/", "/blobs/", "/store.db-wal"] {
                #expect(failed.contains { $0.contains(place) }, "no sync of \(place) failed: \(failed)")
            }
        }

        @Test("a fetched file whose sync fails is not resumed, because the kernel may take lost bytes for written")
        func fetchedFile() throws {
            let place = directory("store")
            try ChildProcess.copy(directory("template"), to: place)
            var tool = Tool(store: place)
            try #require(try tool("origin", "add", "org/base", "file://" + directory("base")).status == 0)
            try #require(try tool("evict", "--down-to", "0").status == 0)
            tool.prefix = Trace.inject("fdatasync", "error=EIO")
            let failed = try tool("cat", "org/base", "model.safetensors")
            #expect(failed.status == 1 && failed.errors.contains("Input/output error"), "\(failed.errors)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: place + "/partial") == [])
            tool.prefix = []
            #expect(try tool("warm", "org/base").status == 0)
            #expect(try Inspection.differences(of: "org/base", from: directory("base"), in: Store(at: place)) == [])
        }

        @Test("a disk that fills up during an import ends it with status 5, and loses nothing")
        func fullDisk() throws {
            try failing(["pwrite64"], with: "ENOSPC", onward: true, most: 7) { result, store, point in
                #expect([0, 5].contains(result.status), "\(point): \(result.status) \(result.errors)")
                if result.status == 5 {
                    #expect(result.errors.contains("no space left"), "\(point): \(result.errors)")
                    #expect(result.errors.contains("weightstore gc"), "\(point): \(result.errors)")
                }
                _ = try store.collectGarbage()
                #expect(FileSystem.exists(store.path + "/reserve"), "\(point): the reserve is back")
            }
        }

        @Test("a rename that fails fails the import and leaves the store as it was")
        func renames() throws {
            try failing(["rename", "renameat2"], with: "EIO", most: 3) { result, _, point in
                #expect(result.status == 1, "\(point): \(result.errors)")
                #expect(result.errors.contains("rename: Input/output error"), "\(point): \(result.errors)")
            }
        }

        /// Whether small files are synced together: only if few bytes wait for the disk, so those of other programs are
        /// written first.
        private func syncsTogether() throws -> Bool {
            let end = ContinuousClock.now + .seconds(60)
            repeat { sync() } while (SystemMemory.dirtyBytes ?? 0) > 256 << 20 && ContinuousClock.now < end
            try #require(ContinuousClock.now < end, "other programs write faster than the disk")
            return FileSystem.syncsAsAWhole(directory.path)
        }

        /// Imports many small files while calls fail.
        private func importMany(_ calls: String) throws -> Tool.Result {
            try TestModel(layers: 100, wide: 8).write(to: directory("many"), files: 2)
            try ChildProcess.copy(directory("template"), to: directory("store"))
            var tool = Tool(store: directory("store"))
            tool.prefix = Trace.inject(calls, "error=EIO", log: directory("log"))
            return try tool("import", directory("many"), "--name", "org/many")
        }

        @Test("if many small files cannot be synced together, each is synced")
        func syncOfAll() throws {
            let together = try syncsTogether()
            let result = try importMany("syncfs")
            #expect(result.status == 0, "\(result.errors)")
            #expect(try Trace.calls(directory("log")).contains { $0.name == "syncfs" } == together)
            let store = try Store(at: directory("store"))
            #expect(try Inspection.differences(of: "org/many", from: directory("many"), in: store) == [])
        }

        @Test(
            "a small file that was not written fails the import, and leaves the store as it was",
            .enabled(if: FileSystem.syncsAsAWhole(NSTemporaryDirectory()), "the file system is not synced as a whole"))
        func unwritten() throws {
            #expect(try syncsTogether())
            let result = try importMany("sync_file_range")
            #expect(result.status == 1 && result.errors.contains("Input/output error"), "\(result.errors)")
            let store = try Store(at: directory("store"))
            #expect(try Inspection.revisions(in: store) == ["org/base@~1"])
            _ = try store.collectGarbage(graceSeconds: 0)
            #expect(try Inspection.leftovers(in: store) == [])
            #expect(try Tool(store: store.path)("import", directory("many"), "--name", "org/many").status == 0)
            #expect(try Inspection.differences(of: "org/many", from: directory("many"), in: store) == [])
        }

        @Test(
            "an import renames only synced blobs, and commits only when the directories that it has changed are synced",
            arguments: [1, 100])
        func order(layers: Int) throws {
            try TestModel(layers: layers, seed: 9, wide: layers == 1 ? 512 : 8)
                .write(to: directory("new-model"), files: layers == 1 ? 1 : 2)
            var tool = Tool(store: directory("new"))
            let log = directory("log")
            tool.prefix = Trace.log(["mkdir", "rename", "fsync", "fdatasync", "syncfs", "pwrite64"], to: log)
            let together = try syncsTogether()
            let result = try tool("import", directory("new-model"), "--name", "org/new")
            try #require(result.status == 0, "\(result.errors)")
            let blobs = (directory("new") + "/blobs").replacingOccurrences(of: "//", with: "/")
            var (written, synced): (Set<String>, Set<String>) = ([], [])
            var changed: Set<String> = []
            var (commits, installed, created, syncsOfAll) = (0, 0, 0, 0)
            for call in try Trace.calls(log) {
                let isSync = ["fsync", "fdatasync", "syncfs"].contains(call.name)
                let words = call.line.split { isSync || call.name == "pwrite64" ? $0 == "<" || $0 == ">" : $0 == "\"" }
                    .map { $0.replacingOccurrences(of: "//", with: "/") }
                let paths = words.indices.filter { $0 % 2 == 1 }.map { words[$0] }
                let path = try #require(paths.first, "\(call.line)")
                switch call.name {
                case "mkdir" where path.hasPrefix(blobs + "/"):
                    changed.insert(blobs)
                    created += 1
                case "rename" where paths.last?.hasPrefix(blobs + "/") == true:
                    #expect(synced.contains(path), "\(call.line)")
                    changed.insert(FileSystem.parent(of: try #require(paths.last)))
                    installed += 1
                case "pwrite64":
                    written.insert(path)
                    synced.remove(path)
                case "syncfs":
                    synced.formUnion(written)
                    syncsOfAll += 1
                case _ where isSync:
                    synced.insert(path)
                    changed.remove(path)
                    guard path.hasSuffix("/store.db-wal") else { break }
                    #expect(changed.isEmpty, "a commit before the sync of \(changed)")
                    commits += 1
                default: break
                }
            }
            #expect(commits > 0 && installed >= layers && created > 0)
            #expect((syncsOfAll > 0) == (layers == 100 && together))
        }
    }
}
