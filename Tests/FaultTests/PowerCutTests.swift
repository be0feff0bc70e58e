import Foundation
import TestSupport
import Testing
@testable import WeightStore

extension Faults {
    @Suite(.enabled(if: Machine.mountsImages, Comment(rawValue: Machine.images)))
    struct PowerCutTests {
        let directory = try! TemporaryDirectory()
        let disk: Disk
        var tool: Tool

        init() throws {
            try TestModel(layers: 1).write(to: directory("base"))
            try TestModel(layers: 1).tuned(seed: 7).write(to: directory("tuned"), files: 2)
            disk = try Disk.ext4(megabytes: 64)
            tool = Tool(store: disk("store"))
            let result = try tool("import", directory("base"), "--name", "org/base")
            try #require(result.status == 0, "\(result.errors)")
        }

        @Test("an import that reported success is there after a power cut", arguments: [1, 100])
        func imported(layers: Int) throws {
            if layers > 1 { try TestModel(layers: layers, seed: 7, wide: 8).write(to: directory("tuned"), files: 2) }
            #expect(try tool("import", directory("tuned"), "--name", "org/tuned").status == 0)
            try disk.cutPower()
            try disk.mountAgain()
            let store = try Store(at: disk("store"))
            #expect(try Inspection.revisions(in: store) == ["org/base@~1", "org/tuned@~1"])
            #expect(try Inspection.differences(of: "org/base", from: directory("base"), in: store) == [])
            #expect(try Inspection.differences(of: "org/tuned", from: directory("tuned"), in: store) == [])
            let verified = try store.verifyBlocking()
            #expect(verified.damage.isEmpty && verified.known.isEmpty)
        }

        @Test("a power cut in the middle of an import leaves the store as it was", .enabled(if: Machine.traces))
        func importing() throws {
            var tool = tool
            // Each sync takes longer, and some of them run at the same time.
            tool.prefix = Trace.inject("fdatasync,fsync", "delay_enter=20000")
            let duration = try ContinuousClock().measure {
                try tool("import", directory("tuned"), "--name", "org/warm")
            }
            try tool("rm", "org/warm")
            // The power cut is a little later each time: before, between and after the syncs.
            for step in 0..<8 {
                let running = try tool.start(["import", directory("tuned"), "--name", "org/tuned"])
                usleep(60_000 + UInt32(max(duration / .microseconds(1) - 60_000, 0) * Double(step) / 8))
                try disk.cutPower()
                let result = running.result()
                try disk.mountAgain()
                let store = try Store(at: disk("store"))
                let revisions = try Inspection.revisions(in: store)
                let before: Set = ["org/base@~1"]
                #expect(
                    result.status == 0
                        ? revisions == before.union(["org/tuned@~1"])
                        : revisions == before || revisions == before.union(["org/tuned@~1"]),
                    "step \(step): \(result.errors)")
                #expect(try Inspection.differences(of: "org/base", from: directory("base"), in: store) == [])
                _ = try store.collectGarbage(graceSeconds: 0)
                #expect(try Inspection.leftovers(in: store) == [], "step \(step)")
                _ = try store.importModelBlocking(ImportRequest(source: directory("tuned"), name: "org/tuned"))
                #expect(try Inspection.differences(of: "org/tuned", from: directory("tuned"), in: store) == [])
                _ = try store.remove(["org/tuned"])
            }
        }

        @Test("after rm and a power cut no row is without its blob")
        func removed() throws {
            try tool("import", directory("tuned"), "--name", "org/tuned")
            sync()
            // Another process has the store open, as a server would: the log is not moved into the database then.
            var holder: Store? = try Store(at: disk("store"))
            #expect(try holder?.models().count == 2)
            #expect(try tool("rm", "org/tuned").status == 0)
            try disk.commitJournal()
            try disk.cutPower()
            holder = nil
            try disk.mountAgain()
            let store = try Store(at: disk("store"))
            let lost = try Inspection.leftovers(in: store).filter { $0.hasPrefix("row without blob") }
            #expect(lost == [])
            #expect(try Inspection.revisions(in: store) == ["org/base@~1"])
            #expect(try Inspection.differences(of: "org/base", from: directory("base"), in: store) == [])
        }
    }
}
