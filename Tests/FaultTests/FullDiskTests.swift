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
            "on a full tmpfs, imports report it, ls, rm and gc work, and removals free space",
            .enabled(if: Machine.mountsMemory, Comment(rawValue: Machine.memory)))
        func memory() throws { try full(Disk.memory(megabytes: 48)) }

        @Test(
            "on a full ext4, imports report it, ls, rm and gc work, and removals free space",
            .enabled(if: Machine.mountsImages, Comment(rawValue: Machine.images)))
        func image() throws { try full(Disk.ext4(megabytes: 64)) }

        @Test(
            "KV blocks leave a part of the disk free without what is reserved for root, and a refusal names the reason",
            .enabled(if: Machine.mountsImages, Comment(rawValue: Machine.images)))
        func keyValueBlocks() throws {
            let disk = try Disk.ext4(megabytes: 64, reserved: 50)
            let tool = Tool(store: disk("store"))
            #expect(try tool("import", directory("base"), "--name", "org/base").status == 0)
            func put(_ number: UInt8) throws -> (errors: String, stored: Int, refused: Int) {
                let tokens = try directory.write([UInt8](repeating: number, count: 16), to: "tokens")
                let blocks = try directory.write([UInt8](repeating: number, count: 1000), to: "blocks")
                let result = try tool(
                    "kv", "put", "org/base", tokens, blocks, "--format", "f", "--block-tokens", "4", "--json")
                #expect(result.status == 0, "\(result.errors)")
                let summary = try JSONDecoder().decode(KVPutSummary.self, from: Data(result.output.utf8))
                #expect((summary.refusal == .disk) == (summary.refused > 0))
                return (result.errors, summary.stored, summary.refused)
            }
            // 2.3 MB are less than 5 % of 64 MB, and more than 5 % of the half that is not reserved.
            try disk.leave(2_300_000, "first")
            #expect(try put(1) == ("", 1, 0))
            // Of 20 blocks of 64 KiB, those that fit are the first of the chain.
            do {
                let store = try Store(at: disk("store"))
                let kv = try store.kvBlocks(of: store.revision("org/base"), format: "g", blockTokens: 4)
                let chain = kv.chain((0..<80).map { UInt32($0) })
                let blocks = (0..<20).map { [UInt8](repeating: UInt8($0), count: 64 << 10) }
                let summary = try kv.put(chain, blocks)
                #expect(summary.refusal == .disk && summary.stored > 0 && summary.stored + summary.refused == 20)
                #expect(try kv.longestPrefix(of: chain).blocks == summary.stored)
            }
            try disk.leave(500_000, "second")
            let (errors, stored, refused) = try put(2)
            #expect(stored == 0 && refused == 1 && errors.contains("5% of the disk"), "\(errors)")
        }

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

            // Reads in a loop, while another process allocates every block that is freed.
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
                #expect(try Inspection.revisions(in: store) == ["org/base@~1", "org/other@~1"])
                #expect(try Inspection.differences(of: "org/base", from: directory("base"), in: store) == [])
                #expect(try Inspection.differences(of: "org/other", from: directory("other"), in: store) == [])
            }
            // Closing the store restores the reserve; one of its threads may hold it for a moment longer.
            let isBack = try blockUntil { FileSystem.exists(disk("store/reserve")) }
            #expect(isBack)
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
            // With free space again, everything works.
            try FileManager.default.removeItem(atPath: disk("filling"))
            _ = try succeed("gc")
            #expect(try FileSystem.status(disk("store/reserve"))?.bytes == Reserve.bytes)
            _ = try succeed("import", directory("base"), "--name", "org/base")
        }

        @Test(
            "an import that cannot fit on the disk is refused before a byte of it is written, and loses nothing",
            .enabled(if: Machine.mountsImages, Comment(rawValue: Machine.images)))
        func refused() throws {
            let disk = try Disk.ext4(megabytes: 32)
            let tool = Tool(store: disk("store"))
            try tool("import", directory("base"), "--name", "org/base")
            try TestModel(layers: 12, seed: 3).write(to: directory("large"))
            let result = try tool("import", directory("large"), "--name", "org/large")
            #expect(result.status == 5, "\(result.errors)")
            let store = try Store(at: disk("store"))
            let work = Work()
            #expect(throws: FileError.diskFull(path: store.path)) {
                try store.importModelBlocking(ImportRequest(source: directory("large")), work: work)
            }
            #expect(work.progress.done == 0)
            #expect(try Inspection.revisions(in: store) == ["org/base@~1"])
            _ = try store.collectGarbage(graceSeconds: 0)
            #expect(try Inspection.leftovers(in: store) == [])
            #expect(try Inspection.differences(of: "org/base", from: directory("base"), in: store) == [])
        }

        @Test(
            "if SQLite has no space for its files, the error is a full disk, not a damaged catalog",
            .enabled(if: Machine.mountsMemory, Comment(rawValue: Machine.memory)))
        func withoutLog() throws {
            let disk = try Disk.memory(megabytes: 32)
            let tool = Tool(store: disk("store"))
            try tool("import", directory("base"), "--name", "org/base")
            for name in ["reserve", "store.db-shm", "store.db-wal"] { try FileSystem.remove(disk("store/\(name)")) }
            try disk.fill("filling")
            // Space for a lease, and no more.
            let filling = open(disk("filling"), O_WRONLY)
            var facts = stat()
            fstat(filling, &facts)
            ftruncate(filling, facts.st_size - 8192)
            close(filling)
            let result = try tool("ls")
            #expect(result.status == 5, "\(result.errors)")
            #expect(result.errors.contains("no space left"), "\(result.errors)")
        }

        /// Leaves so many bytes free on a full disk.
        private func leave(_ bytes: Int, on disk: Disk) throws {
            try disk.fill("filling")
            let filling = open(disk("filling"), O_WRONLY)
            defer { close(filling) }
            var facts = stat()
            fstat(filling, &facts)
            ftruncate(filling, facts.st_size - off_t(bytes))
            #expect(disk.freeBytes <= bytes + 4096)
        }

        /// Writes a safetensors file of many tensors of one number each.
        private func writeTensors(_ count: Int, to path: String) throws {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            let entries = (0..<count).map { number in
                #""t.\#(number)":{"dtype":"F32","shape":[1],"data_offsets":[\#(4 * number),\#(4 * number + 4)]}"#
            }
            var header = Array("{\(entries.joined(separator: ","))}".utf8)
            while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
            var file = withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init) + header
            for number in 0..<count { withUnsafeBytes(of: Float(number)) { file += $0 } }
            try Data(file).write(to: URL(fileURLWithPath: path + "/model.safetensors"))
        }

        @Test(
            "with a few KiB free, rm and prune use the reserve, and restore it afterwards",
            .enabled(if: Machine.mountsMemory, Comment(rawValue: Machine.memory)), arguments: [40, 80, 120])
        func reserve(_ kibibytes: Int) throws {
            let disk = try Disk.memory(megabytes: 48)
            let tool = Tool(store: disk("store"))
            for (source, name) in [
                ("base", "org/base"), ("other", "org/other"), ("base", "org/old"), ("other", "org/old"),
            ] {
                try tool("import", directory(source), "--name", name)
            }
            for arguments in [["rm", "org/other"], ["prune", "--yes"], ["rm", "org/base"]] {
                try leave(kibibytes << 10, on: disk)
                #expect(FileSystem.exists(disk("store/reserve")))
                let result = try tool.run(arguments)
                #expect(result.status == 0, "\(arguments): \(result.errors)")
                #expect(FileSystem.exists(disk("store/reserve")), "\(arguments)")
            }
            let store = try Store(at: disk("store"))
            #expect(try Inspection.revisions(in: store) == ["org/old@~2"])
            // A change that found the disk full may have left its record.
            try store.collectGarbage(graceSeconds: 0)
            #expect(try Inspection.leftovers(in: store) == [])
            #expect(try Inspection.differences(of: "org/old", from: directory("other"), in: store) == [])
        }

        @Test(
            "a model of many tensors is removed with no more space than the reserve",
            .enabled(if: Machine.mountsMemory, Comment(rawValue: Machine.memory)))
        func manyTensors() throws {
            let disk = try Disk.memory(megabytes: 120)
            let tool = Tool(store: disk("store"))
            try writeTensors(60_000, to: directory("many"))
            try tool("import", directory("other"), "--name", "org/other")
            try tool("import", directory("many"), "--name", "org/many")
            try leave(16 << 10, on: disk)
            let result = try tool("rm", "org/many")
            #expect(result.status == 0, "\(result.errors)")
            #expect(FileSystem.exists(disk("store/reserve")))
            let store = try Store(at: disk("store"))
            #expect(try Inspection.revisions(in: store) == ["org/other@~1"])
            #expect(try Inspection.leftovers(in: store) == [])
            #expect(try store.catalog.read { db in try FileTable.unlinked(db) }.isEmpty)
        }

        @Test(
            "a disk without free inodes is reported as such",
            .enabled(if: Machine.mountsMemory, Comment(rawValue: Machine.memory)))
        func inodes() throws {
            let disk = try Disk.memory(megabytes: 64, inodes: 120)
            let tool = Tool(store: disk("store"))
            try tool("import", directory("base"), "--name", "org/base")
            var number = 0
            while FileManager.default.createFile(atPath: disk("file-\(number)"), contents: nil) { number += 1 }
            // The command itself needs a lease and the files of SQLite.
            for file in max(number - 8, 0)..<number { try FileSystem.remove(disk("file-\(file)")) }
            let result = try tool("import", directory("other"), "--name", "org/other")
            #expect(result.status == 5, "\(result.errors)")
            #expect(result.errors.contains("no inodes left on the disk"), "\(result.errors)")
            #expect(try tool("ls", "--quiet").output == "org/base\n")
        }
    }
}
