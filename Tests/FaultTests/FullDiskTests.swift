import Foundation
import TestSupport
import Testing
@testable import WeightStore

extension Faults {
    @Suite struct FullDiskTests {
        let directory = try! TemporaryDirectory()

        init() throws {
            try TestModel(layers: 1).write(to: directory("base"))
            try TestModel(layers: 1, seed: 2).write(to: directory("other"))
        }

        @Test(
            "a full tmpfs: imports say so, ls, rm and gc work, and space comes back",
            .enabled(if: Machine.mountsMemory, Comment(rawValue: Machine.memory)))
        func memory() throws { try full(Disk.memory(megabytes: 48)) }

        @Test(
            "a full ext4: imports say so, ls, rm and gc work, and space comes back",
            .enabled(if: Machine.mountsImages, Comment(rawValue: Machine.images)))
        func image() throws { try full(Disk.ext4(megabytes: 64)) }

        private func full(_ disk: Disk) throws {
            let tool = Tool(store: disk("store"))
            func succeed(_ arguments: String...) throws -> Tool.Result {
                let result = try tool.run(arguments)
                #expect(result.status == 0, "\(arguments): \(result.errors)")
                return result
            }
            _ = try succeed("import", directory("base"), "--name", "org/base")
            _ = try succeed("import", directory("other"), "--name", "org/other")
            try disk.fill("filling")

            // Reading, again and again, with somebody who takes every block that is let go.
            for round in 1...3 {
                #expect(try succeed("ls", "--quiet").output == "org/base\norg/other\n", "round \(round)")
                try disk.fill("filling")
            }
            for round in 1...3 {
                try TestModel(layers: 1, seed: UInt64(10 + round)).write(to: directory("new"))
                let result = try tool("import", directory("new"), "--name", "org/new")
                #expect(result.status == 5, "round \(round): \(result.errors)")
                #expect(result.errors.contains("no space left on the disk"), "\(result.errors)")
                #expect(result.errors.contains("Everything stored before is intact"), "\(result.errors)")
                try disk.fill("filling")
            }
            do {
                let store = try Store(at: disk("store"))
                #expect(try Inspection.revisions(in: store) == ["org/base@v1", "org/other@v1"])
                #expect(try Inspection.differences(of: "org/base", from: directory("base"), in: store) == [])
                #expect(try Inspection.differences(of: "org/other", from: directory("other"), in: store) == [])
            }
            try disk.fill("filling")

            _ = try succeed("gc", "--grace", "0")
            try disk.fill("filling")
            /// The reserve grows back to its size first.
            func freed() throws -> Int { disk.freeBytes + (try FileSystem.status(disk("store/reserve"))?.bytes ?? 0) }
            let before = try freed()
            _ = try succeed("rm", "org/base")
            #expect(try freed() - before > 2_000_000)
            _ = try succeed("gc", "--grace", "0")
            #expect(try freed() - before > 2_000_000)
            #expect(FileSystem.exists(disk("store/reserve")))
            do {
                let store = try Store(at: disk("store"))
                #expect(try Inspection.leftovers(in: store) == [])
                #expect(try Inspection.differences(of: "org/other", from: directory("other"), in: store) == [])
            }
            // With space again, all goes on as ever.
            try FileManager.default.removeItem(atPath: disk("filling"))
            _ = try succeed("gc")
            #expect(try FileSystem.status(disk("store/reserve"))?.bytes == Reserve.bytes)
            _ = try succeed("import", directory("base"), "--name", "org/base")
        }

        @Test(
            "an import that fills the disk itself loses nothing, and what it wrote is given back",
            .enabled(if: Machine.mountsImages, Comment(rawValue: Machine.images)))
        func fills() throws {
            let disk = try Disk.ext4(megabytes: 32)
            let tool = Tool(store: disk("store"))
            try tool("import", directory("base"), "--name", "org/base")
            try TestModel(layers: 12, seed: 3).write(to: directory("large"))
            let result = try tool("import", directory("large"), "--name", "org/large")
            #expect(result.status == 5, "\(result.errors)")
            let store = try Store(at: disk("store"))
            #expect(try Inspection.revisions(in: store) == ["org/base@v1"])
            _ = try store.collectGarbage(graceSeconds: 0)
            #expect(try Inspection.leftovers(in: store) == [])
            #expect(try Inspection.differences(of: "org/base", from: directory("base"), in: store) == [])
        }

        @Test(
            "when SQLite has no space for its files, the disk is said to be full, not the catalog to be damaged",
            .enabled(if: Machine.mountsMemory, Comment(rawValue: Machine.memory)))
        func withoutLog() throws {
            let disk = try Disk.memory(megabytes: 32)
            let tool = Tool(store: disk("store"))
            try tool("import", directory("base"), "--name", "org/base")
            for name in ["reserve", "store.db-shm", "store.db-wal"] { try FileSystem.remove(disk("store/\(name)")) }
            try disk.fill("filling")
            // Room for a lease, and no more.
            let filling = open(disk("filling"), O_WRONLY)
            var facts = stat()
            fstat(filling, &facts)
            ftruncate(filling, facts.st_size - 8192)
            close(filling)
            let result = try tool("ls")
            #expect(result.status == 5, "\(result.errors)")
            #expect(result.errors.contains("no space left"), "\(result.errors)")
        }
    }
}
